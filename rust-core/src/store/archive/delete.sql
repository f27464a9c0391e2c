-- {season}: a literal; {range}: which keys
-- Parameters: those of {range}
DELETE FROM `tabArchived Memory Tracker`
WHERE eligible_for_deletion = 1 AND season = {season} AND {range}
