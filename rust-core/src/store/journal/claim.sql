-- The next rows for a sweeper, by the database's clock: those that nobody came by yet,
-- oldest first, then those whose time has come again. What is locked is being applied at
-- this moment and is passed over.
--
-- idx_journal_work has them in this order: without it every unapplied row would be locked
-- to be sorted. It begins with applied_at: the states alone would say the same, and have
-- every row read that was ever applied. The end of its range, where failed.sql puts what it
-- gives up, is not read.
--
-- young: whether the row's job may still come, or be queued again. Not if somebody came by
-- (next_try_at), and not if it failed under a name that its student had before (tries).
-- Parameters: seconds of youth, age in seconds, limit
SELECT player, submission_id,
       tries = 0 AND next_try_at IS NULL
         AND created_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND AS young
FROM memora_srs_journal FORCE INDEX (idx_journal_work)
WHERE applied_at IS NULL
  AND state IN ('pending', 'queued', 'failed')
  AND created_at < UTC_TIMESTAMP(6) - INTERVAL ? SECOND
  AND (next_try_at IS NULL OR next_try_at <= UTC_TIMESTAMP(6))
ORDER BY next_try_at, created_at
LIMIT ?
FOR UPDATE SKIP LOCKED
