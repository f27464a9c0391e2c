-- The journal: one row per accepted submit, written before the submit is acknowledged.
--
-- Why: an answer that was acknowledged must survive the loss of Redis, of the queue and
-- of every worker. A job in the queue only points here; what is applied is this row's
-- payload, once, by whoever locks the row while applied_at IS NULL.
--
-- Binary keys: a submit is identified by the bytes of (player, submission_id). MariaDB's
-- text collation would take 'Ann' and 'ann ' for one. 560 bytes hold 140 characters.
-- All times are UTC and come from this server's clock, never from a session's zone.

CREATE TABLE IF NOT EXISTS `memora_srs_journal` (
  `player` varbinary(560) NOT NULL COMMENT 'User, stored spelling, UTF-8',
  `submission_id` varbinary(64) NOT NULL,
  `attempt` binary(16) NOT NULL COMMENT 'random per request and process: who won',
  `fingerprint` binary(32) NOT NULL COMMENT 'SHA-256 of the request: same id, other content is refused',
  `season` varbinary(560) NOT NULL COMMENT 'Game Subscription Season, stored spelling, UTF-8',
  `payload` mediumtext NOT NULL COMMENT 'JSON of the batch: absolute states',
  `state` enum('pending','queued','applied','failed','late','dismissed') NOT NULL DEFAULT 'pending',
  `created_at` datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
  `applied_at` datetime(6) DEFAULT NULL COMMENT 'NULL: not in the tracker yet',
  `cached_at` datetime(6) DEFAULT NULL COMMENT 'NULL: the cache is not known to have it',
  `next_try_at` datetime(6) DEFAULT NULL COMMENT 'when the sweeper comes by again',
  `claimed_by` varchar(140) DEFAULT NULL COMMENT 'sweeper or worker that holds the claim',
  `claimed_at` datetime(6) DEFAULT NULL,
  `tries` int(11) NOT NULL DEFAULT 0,
  `error` text DEFAULT NULL COMMENT 'last failure, for an operator',
  `job_hash` binary(10) GENERATED ALWAYS AS (unhex(left(sha2(concat(
    unhex(lpad(hex(octet_length(`player`)), 16, '0')), `player`,
    unhex(lpad(hex(octet_length(`submission_id`)), 16, '0')), `submission_id`), 256), 20))) STORED
    COMMENT 'the 20 hex digits of the id of the RQ job',
  PRIMARY KEY (`player`,`submission_id`),
  -- the overlay: what a student has in a season that is not applied yet
  KEY `idx_journal_player_season_applied` (`player`,`season`,`applied_at`),
  -- healing: rows that the cache may lack, oldest first
  KEY `idx_journal_cached_created` (`cached_at`,`created_at`),
  -- the sweeper's next work, oldest first; and what is old enough to be purged
  KEY `idx_journal_work` (`applied_at`,`next_try_at`,`created_at`),
  -- what became of a job
  KEY `idx_journal_job` (`job_hash`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
