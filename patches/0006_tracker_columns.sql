-- Columns of Player Memory Tracker that the engine needs.
--
-- review_version orders the states of a question (UTC microseconds; 0 for rows written
-- by others), because wall time repeats an hour every autumn. It is Frappe's Int of
-- length 20. season may be missing on a site that is older than seasons; it becomes NOT
-- NULL with the key, when every row has one. Adding is instant.
-- {lock}: NOWAIT or WAIT n.

ALTER TABLE `tabPlayer Memory Tracker` {lock}
  ADD COLUMN IF NOT EXISTS `season` varchar(140) DEFAULT NULL,
  ADD COLUMN IF NOT EXISTS `review_version` bigint(20) NOT NULL DEFAULT 0
