-- A row to be dismissed. Parameters: player, submission_id
SELECT payload
FROM memora_srs_journal
WHERE player = ? AND submission_id = ? AND applied_at IS NULL AND state <> 'dismissed'
FOR UPDATE NOWAIT
