-- How many rows are there twice or more, by the rules of the columns' collation, once
-- rows without a season have one. For the dry run: it changes nothing, so it has no index
-- and must sort (SQL_BIG_RESULT; a temporary table takes half as long again).
--
-- {table}: the tracker or the archived tracker; {season}: season, or NULL where the
-- column is not there yet.
-- In:  1 the season that rows without one get.
-- Out: questions concerned, rows too many.

SELECT COUNT(*), COALESCE(SUM(d.n - 1), 0)
  FROM (SELECT SQL_BIG_RESULT COUNT(*) AS n
          FROM {table}
         WHERE player IS NOT NULL AND question_id IS NOT NULL
         GROUP BY player, COALESCE(NULLIF({season}, ''), ?), question_id
        HAVING n > 1) AS d
