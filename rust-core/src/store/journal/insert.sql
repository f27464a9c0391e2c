-- The durable point of a submit. Never updated by the submit itself.
-- Parameters: player, submission_id, attempt, fingerprint, season, payload
INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season, payload)
VALUES (?, ?, ?, ?, ?, ?)
