-- Columns of Archived Memory Tracker that the engine needs: the tracker's, when a row
-- was archived, and whether an administrator may delete it. Adding is instant.
-- {lock}: NOWAIT or WAIT n.

ALTER TABLE `tabArchived Memory Tracker` {lock}
  ADD COLUMN IF NOT EXISTS `season` varchar(140) DEFAULT NULL,
  ADD COLUMN IF NOT EXISTS `archived_at` datetime(6) DEFAULT NULL,
  ADD COLUMN IF NOT EXISTS `eligible_for_deletion` int(1) NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS `review_version` bigint(20) NOT NULL DEFAULT 0
