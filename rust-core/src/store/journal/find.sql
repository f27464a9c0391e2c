-- The attempt that won. Parameters: player, submission_id
SELECT player, submission_id, attempt, fingerprint, season, payload
FROM memora_srs_journal
WHERE player = ? AND submission_id = ?
