-- Rows that nobody applied in time, by the database's clock, in the order of claim.sql,
-- and with its conditions.
-- Parameters: age in seconds, limit
SELECT player, submission_id
FROM memora_srs_journal
WHERE applied_at IS NULL
  AND state IN ('pending', 'queued', 'failed')
  AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
  AND (next_try_at IS NULL OR next_try_at <= UTC_TIMESTAMP(6))
ORDER BY next_try_at, created_at
LIMIT ?
