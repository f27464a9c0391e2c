-- Parameters: name, in any spelling that the table takes for the same
SELECT name, is_active, modified, archived_on
FROM `tabGame Subscription Season`
WHERE name = ?
