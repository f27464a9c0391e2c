-- Every season that is not archived has its partition now: say so on it.

UPDATE `tabGame Subscription Season`
   SET partition_created = 1
 WHERE archived_on IS NULL AND partition_created = 0
