-- Rows of one student's season that the cache may lack. Parameters: player, season, limit
SELECT player, submission_id
FROM memora_srs_journal
WHERE player = ? AND season = ? AND cached_at IS NULL
LIMIT ?
