-- Seasons whose rows are, or will be, in the tracker
SELECT name FROM `tabGame Subscription Season` WHERE archived_on IS NULL ORDER BY name
