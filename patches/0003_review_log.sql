-- The review log: one row per answer, append-only: a student's history, the source of
-- statistics and of a trained scheduler.
--
-- Why this key: (player, submission_id, seq) makes applying a batch twice add nothing
-- (INSERT IGNORE), and keeps one student's history together on disk.
--
-- Why not partitioned by time: created_at would have to join every unique key, and then
-- a batch applied a second time on the next day would be a second set of rows. Retention
-- deletes in bounded chunks along idx_review_log_created instead.
--
-- All times are UTC, unlike the tracker's. seq is the answer's place in the batch, from 0.

CREATE TABLE IF NOT EXISTS `memora_srs_review_log` (
  `player` varbinary(560) NOT NULL,
  `submission_id` varbinary(64) NOT NULL,
  `seq` smallint(5) unsigned NOT NULL,
  `created_at` datetime(6) NOT NULL COMMENT 'when the submit was taken',
  `season` varbinary(560) NOT NULL,
  `question` varbinary(560) NOT NULL,
  `quality` tinyint(3) unsigned NOT NULL COMMENT '0 to 5',
  `response_time_ms` int(10) unsigned DEFAULT NULL,
  `stability_before` decimal(21,9) DEFAULT NULL COMMENT 'NULL: the question was new',
  `stability_after` decimal(21,9) NOT NULL,
  `due_before` datetime(6) DEFAULT NULL,
  `due_after` datetime(6) NOT NULL,
  `last_review_before` datetime(6) DEFAULT NULL,
  `last_review_after` datetime(6) NOT NULL,
  `version_before` bigint(20) DEFAULT NULL,
  `review_version` bigint(20) NOT NULL COMMENT 'version of the state after',
  `door` varchar(16) NOT NULL COMMENT 'http, python or cli',
  PRIMARY KEY (`player`,`submission_id`,`seq`),
  KEY `idx_review_log_created` (`created_at`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
