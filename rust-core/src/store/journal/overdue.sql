-- Rows that nobody applied in time, by the database's clock. Rows not applied have no
-- cached_at either, so the index on (cached_at, created_at) finds them oldest first.
-- Parameters: age in seconds, limit
SELECT player, submission_id
FROM memora_srs_journal
WHERE cached_at IS NULL
  AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
  AND applied_at IS NULL
  AND state IN ('pending', 'queued', 'failed')
  AND (next_try_at IS NULL OR next_try_at <= UTC_TIMESTAMP(6))
ORDER BY created_at
LIMIT ?
