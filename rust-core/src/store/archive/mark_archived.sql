-- modified changes, so that a form which somebody has open does not undo this when it is
-- saved: Frappe refuses it.
-- Parameters: when, now (wall time of the site), season
UPDATE `tabGame Subscription Season`
SET archived_on = ?, partition_created = 0, modified = ?
WHERE name = ?
