-- The active season: of several, one that today is within, then the latest start, then
-- the first name.
--
-- In:  1 today's date in the site's zone.
-- Out: its name, or no row.

SELECT name
  FROM `tabGame Subscription Season`
 WHERE is_active = 1
 ORDER BY COALESCE(? BETWEEN start_date AND end_date, 0) DESC, start_date DESC, name
 LIMIT 1
