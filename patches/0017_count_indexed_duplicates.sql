-- How many rows are there twice or more, when every row has a season and 0016 its index.
--
-- {table}: the tracker or the archived tracker; {index}: the index.
-- Out: rows too many.

SELECT COALESCE(SUM(d.n - 1), 0)
  FROM (SELECT COUNT(*) AS n
          FROM {table} FORCE INDEX (`{index}`)
         WHERE player IS NOT NULL AND question_id IS NOT NULL
         GROUP BY player, season, question_id
        HAVING n > 1) AS d
