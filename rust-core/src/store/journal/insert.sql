-- The durable point of submits. Never updated by the submit itself.
-- Per row: player, submission_id, attempt, fingerprint, season, payload
INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season, payload)
VALUES {rows}
