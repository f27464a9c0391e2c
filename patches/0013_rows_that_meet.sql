-- Rows without a season and the rows of the same question in the season they should get,
-- best first: what 0012 left. All but the first of a question are deleted, then the
-- first gets its season.
--
-- {table}: the tracker or the archived tracker; {rank}: the order of states, best first.
-- In:  1 questions at most, 2 season.
-- Out: name, season, review_version, modified, place among the rows of its question
--      (1: stays).

SELECT t.name, t.season, t.review_version, t.modified,
       ROW_NUMBER() OVER (PARTITION BY t.player, t.question_id ORDER BY {rank}) AS place
  FROM (SELECT DISTINCT player, question_id
          FROM {table}
         WHERE (season IS NULL OR season = '') AND player IS NOT NULL AND question_id IS NOT NULL
         LIMIT ?) AS d
  JOIN {table} AS t ON t.player = d.player AND t.question_id = d.question_id
 WHERE t.season IS NULL OR t.season = '' OR t.season = ?
