-- The audit: one row per applied batch.
--
-- Why: support must be able to say which submit reached the table when, through which
-- door and worker, after the journal row is purged. Kept for srs_audit_days; retention
-- deletes in chunks along idx_audit_created. created_at is UTC.

CREATE TABLE IF NOT EXISTS `memora_srs_audit` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `created_at` datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
  `season` varbinary(560) NOT NULL,
  `player` varbinary(560) NOT NULL,
  `submission_id` varbinary(64) NOT NULL,
  `job_id` varchar(140) DEFAULT NULL COMMENT 'RQ job; NULL when applied from the journal alone',
  `door` varchar(16) NOT NULL COMMENT 'http, python or cli',
  `worker` varchar(140) DEFAULT NULL,
  `count` int(11) NOT NULL COMMENT 'answers in the batch',
  `tries` int(11) NOT NULL DEFAULT 1,
  `result` varchar(140) NOT NULL COMMENT 'applied, failed, late, ...',
  PRIMARY KEY (`id`),
  KEY `idx_audit_created` (`created_at`),
  KEY `idx_audit_player_submission` (`player`,`submission_id`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
