-- Where long work stands, so that it can be resumed and seen: a migration's step, an
-- archive's phase. One row per piece of work; value is JSON of that work's own.

CREATE TABLE IF NOT EXISTS `memora_srs_state` (
  `name` varbinary(640) NOT NULL COMMENT 'kind, or kind:season',
  `value` mediumtext NOT NULL,
  `modified_at` datetime(6) NOT NULL DEFAULT (utc_timestamp(6)),
  PRIMARY KEY (`name`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
