-- Rows of a season that are not in the table, whatever keeps them from it; by the index of
-- what is not applied, which is little.
-- Parameters: season (bytes), limit
SELECT player, submission_id
FROM memora_srs_journal FORCE INDEX (idx_journal_work)
WHERE applied_at IS NULL AND season = ? AND state <> 'dismissed'
ORDER BY created_at
LIMIT ?
