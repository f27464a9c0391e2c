-- Applied rows, and those that are dismissed: an operator's, and what is left of students
-- who were renamed. Never one that is still to be applied, whatever its age. One that the
-- cache is not known to have stays as long as a schedule may live in the cache.
-- Parameters: days, days, rows
SET STATEMENT innodb_lock_wait_timeout = 2 FOR
DELETE FROM memora_srs_journal
WHERE applied_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY
  AND state IN ('applied', 'dismissed')
  AND (cached_at IS NOT NULL OR applied_at < UTC_TIMESTAMP(6) - INTERVAL ? + 30 DAY)
ORDER BY applied_at
LIMIT ?
