-- How many rows each season has; one scan.
--
-- {table}: the tracker or the archived tracker; {season}: season, or NULL where the
-- column is not there yet.
-- Out: season ('' for rows without one, in whatever way), rows.

SELECT COALESCE({season}, '') AS s, COUNT(*)
  FROM {table}
 GROUP BY s
 ORDER BY s
