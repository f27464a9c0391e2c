-- Rows that nobody applied in time, by the database's clock, oldest first. Rows not applied
-- have no cached_at either, unless a healer was there: it gives them a next_try_at. So the
-- indexes on (cached_at, created_at) and (next_try_at) find them, and no row that is applied
-- is in the way.
-- Parameters: age in seconds, limit, age in seconds, limit, limit
(SELECT player, submission_id, created_at
 FROM memora_srs_journal
 WHERE cached_at IS NULL
   AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
   AND applied_at IS NULL
   AND state IN ('pending', 'queued', 'failed')
   AND (next_try_at IS NULL OR next_try_at <= UTC_TIMESTAMP(6))
 ORDER BY created_at
 LIMIT ?)
UNION ALL
(SELECT player, submission_id, created_at
 FROM memora_srs_journal
 WHERE cached_at IS NOT NULL
   AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
   AND applied_at IS NULL
   AND state IN ('pending', 'queued', 'failed')
   AND next_try_at <= UTC_TIMESTAMP(6)
 ORDER BY next_try_at
 LIMIT ?)
ORDER BY created_at
LIMIT ?
