-- The rows too many of the next questions that are there more than once.
--
-- {table}: the tracker or the archived tracker; {index}: that of 0016; {rank}: the order
-- of states, best first; {after}: where the page before ended.
-- In:  the last question's player, season and id as {after} wants them; questions at most.
-- Out: name, season, review_version, modified, place (1: stays), player, question.

SELECT r.name, r.season, r.review_version, r.modified, r.place, r.player, r.question_id
  FROM (SELECT t.player, t.season, t.question_id, t.name, t.review_version, t.modified,
               ROW_NUMBER() OVER (PARTITION BY t.player, t.season, t.question_id
                                  ORDER BY {rank}) AS place
          FROM (SELECT player, season, question_id
                  FROM {table} FORCE INDEX (`{index}`)
                 WHERE player IS NOT NULL AND question_id IS NOT NULL AND {after}
                 GROUP BY player, season, question_id
                HAVING COUNT(*) > 1
                 ORDER BY player, season, question_id
                 LIMIT ?) AS d
          JOIN {table} AS t FORCE INDEX (`{index}`)
            ON t.player = d.player AND t.season = d.season AND t.question_id = d.question_id
       ) AS r
 ORDER BY r.player, r.season, r.question_id, r.place
