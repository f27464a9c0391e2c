-- Rows that the cache may lack, oldest first, from a place on.
-- Parameters: created_at up to; created_at, created_at, created_at, player, player,
--             submission_id of the place; limit
SELECT player, submission_id, season, created_at, applied_at IS NOT NULL
FROM memora_srs_journal FORCE INDEX (idx_journal_cached_created)
WHERE cached_at IS NULL AND created_at <= ? AND created_at >= ?
  AND (created_at > ?
       OR (created_at = ? AND (player > ? OR (player = ? AND submission_id > ?))))
ORDER BY created_at, player, submission_id
LIMIT ?
