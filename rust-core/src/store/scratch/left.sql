-- Seasons that checks made and did not remove.
-- Parameters: how their names begin, as a pattern
SELECT name FROM `tabGame Subscription Season` WHERE name LIKE ?
