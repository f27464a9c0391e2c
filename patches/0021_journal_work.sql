-- Columns and indexes of the journal that came after its first version.
--
-- idx_journal_work replaces idx_journal_next_try: a sweeper wants unapplied rows in the
-- order of their turn, and the purge applied rows in the order of their end. job_hash finds
-- the row of a job long after RQ has forgotten the job. It is stored because MariaDB's
-- indexes over virtual columns have a history of defects; adding it copies the table, and
-- writers wait meanwhile (some 100,000 rows a second).
-- {lock}: NOWAIT or WAIT n.

ALTER TABLE `memora_srs_journal` {lock}
  ADD COLUMN IF NOT EXISTS `job_hash` binary(10) GENERATED ALWAYS AS (unhex(left(sha2(concat(
    unhex(lpad(hex(octet_length(`player`)), 16, '0')), `player`,
    unhex(lpad(hex(octet_length(`submission_id`)), 16, '0')), `submission_id`), 256), 20))) STORED
    COMMENT 'the 20 hex digits of the id of the RQ job',
  ADD INDEX IF NOT EXISTS `idx_journal_work` (`applied_at`,`next_try_at`,`created_at`),
  ADD INDEX IF NOT EXISTS `idx_journal_job` (`job_hash`),
  DROP INDEX IF EXISTS `idx_journal_next_try`
