-- Notes on a season that its partition is there.
-- In: 1 the season. modified is left alone: nothing changed that a person edits.
UPDATE `tabGame Subscription Season` SET partition_created = 1
 WHERE name = ? AND partition_created = 0
