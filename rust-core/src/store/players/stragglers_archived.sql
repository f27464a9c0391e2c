
-- Not of a season that is on its way: its rows are summed up.
AND season IN (SELECT name FROM `tabGame Subscription Season` WHERE archived_on IS NOT NULL)
