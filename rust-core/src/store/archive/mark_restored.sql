-- As mark_archived.sql. Parameters: now (wall time of the site), season
UPDATE `tabGame Subscription Season`
SET archived_on = NULL, partition_created = 1, modified = ?
WHERE name = ?
