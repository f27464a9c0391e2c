-- {season}: a literal; {condition}: which rows
SELECT COUNT(*)
FROM `tabArchived Memory Tracker`
WHERE season = {season} AND {condition}
