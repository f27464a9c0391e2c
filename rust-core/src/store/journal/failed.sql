-- Could not be applied: try again after 1, 2, 4, ... at most 64 minutes.
-- Parameters: error, player, submission_id
UPDATE memora_srs_journal
SET state = 'failed', error = ?,
    next_try_at = UTC_TIMESTAMP(6) + INTERVAL POW(2, LEAST(tries, 6)) MINUTE,
    tries = tries + 1
WHERE player = ? AND submission_id = ? AND applied_at IS NULL
