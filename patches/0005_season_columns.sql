-- Columns of Game Subscription Season that the engine reads or sets.
--
-- Why here: on a site whose own app defines this DocType, Frappe's schema sync does not
-- add them. Types are the ones Frappe makes for Check and Datetime, so that a DocType
-- which declares the field later finds it as it wants it. Adding is instant.
-- {lock}: NOWAIT or WAIT n.

ALTER TABLE `tabGame Subscription Season` {lock}
  ADD COLUMN IF NOT EXISTS `partition_created` int(1) NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS `enable_redis` int(1) NOT NULL DEFAULT 1,
  ADD COLUMN IF NOT EXISTS `auto_archive` int(1) NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS `archived_on` datetime(6) DEFAULT NULL
