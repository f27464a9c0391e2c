-- The rows to apply, locked in key order, so that two workers wait for each other
-- instead of dead-locking. Per row: player, submission_id
SELECT player, submission_id, attempt, fingerprint, season, payload
FROM memora_srs_journal
WHERE applied_at IS NULL AND state <> 'dismissed' AND ({keys})
ORDER BY player, submission_id
FOR UPDATE
