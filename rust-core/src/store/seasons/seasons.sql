-- The active seasons, and the one asked for by any spelling that the table takes for
-- the same. Parameter: name ('' for none)
SELECT name, is_active, enable_redis, start_date, end_date, archived_on IS NOT NULL, name = ?
FROM `tabGame Subscription Season`
WHERE is_active = 1 OR name = ?
