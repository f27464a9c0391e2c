-- {season}: a literal; {range}: which keys
-- Parameters: archived before (wall time of the site), those of {range}
UPDATE `tabArchived Memory Tracker`
SET eligible_for_deletion = 1
WHERE archived_at < ? AND eligible_for_deletion = 0 AND season = {season} AND {range}
