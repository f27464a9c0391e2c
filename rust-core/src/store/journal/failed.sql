-- Could not be applied: try again after 1, 2, 4, ... at most 64 minutes; or, if that was
-- enough of what no repetition mends, never again by itself (year 9999). Who holds the row
-- knows better what becomes of it, so nobody is waited for long.
-- Parameters: error, whether it may pass by itself, tries in all, player, submission_id
SET STATEMENT innodb_lock_wait_timeout = 2 FOR
UPDATE memora_srs_journal
SET state = 'failed', error = ?,
    next_try_at = IF(NOT ? AND tries + 1 >= ?, '9999-12-31',
                     UTC_TIMESTAMP(6) + INTERVAL POW(2, LEAST(tries, 6)) MINUTE),
    tries = tries + 1, claimed_by = NULL, claimed_at = NULL
WHERE player = ? AND submission_id = ? AND applied_at IS NULL AND state <> 'dismissed'
