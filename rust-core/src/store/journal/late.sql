-- Rows of submits that were acknowledged without them. The row that is there first wins.
-- Per row: player, submission_id, attempt, fingerprint, season, payload
INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season, payload)
VALUES {rows}
ON DUPLICATE KEY UPDATE player = memora_srs_journal.player
