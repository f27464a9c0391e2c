-- The journal rows of jobs, made where they are missing (the submit's own INSERT may
-- not have come through) and locked where they exist. The first row wins.
-- Per row: player, submission_id, attempt, fingerprint, season, payload
INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season, payload)
VALUES {rows}
ON DUPLICATE KEY UPDATE player = memora_srs_journal.player
