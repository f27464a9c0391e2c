-- Rows that share their name with a row of another season.
--
-- Why: Frappe finds a document by its name alone; with two it reads one and writes both.
-- A table whose primary key has the season in it admits them. All but the best row of a
-- name are renamed.
-- {table}: the tracker or the archived tracker; {rank}: the order of states, best first.
-- In:  1 last name of the page before ('' at first), 2 names at most.
-- Out: name, season, place among the rows of that name (1: keeps it).

SELECT t.name, t.season, ROW_NUMBER() OVER (PARTITION BY t.name ORDER BY {rank}) AS place
  FROM (SELECT name
          FROM {table}
         WHERE name > ?
         GROUP BY name
        HAVING COUNT(*) > 1
         ORDER BY name
         LIMIT ?) AS d
  JOIN {table} AS t ON t.name = d.name
 ORDER BY t.name
