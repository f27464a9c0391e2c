-- The rows to apply, locked in key order, so that two workers wait for each other
-- instead of dead-locking. Those that are done come too, without their payload: no job
-- need make them. Per row: player, submission_id
SELECT player, submission_id, attempt, fingerprint, season,
  IF(applied_at IS NULL AND state <> 'dismissed', payload, NULL)
FROM memora_srs_journal
WHERE {keys}
ORDER BY player, submission_id
FOR UPDATE
