-- The seasons that the table needs a partition for: those of its rows, in the spelling
-- of the season itself where there is one; SEASON-DEFAULT; for the tracker also every
-- season that is not archived, so that nobody's first write finds none.
--
-- {table}: the tracker or the archived tracker; {others}: "archived_on IS NULL" for the
-- tracker, "FALSE" for the archive.
-- Out: season.

SELECT COALESCE(s.name, f.season) AS season
  FROM (SELECT MIN(u.season) AS season
          FROM (SELECT DISTINCT season FROM {table} WHERE season IS NOT NULL AND season <> ''
                 UNION ALL
                SELECT name FROM `tabGame Subscription Season` WHERE {others}
                 UNION ALL
                SELECT 'SEASON-DEFAULT') AS u
         GROUP BY u.season) AS f
  LEFT JOIN `tabGame Subscription Season` AS s ON s.name = f.season
 ORDER BY season
