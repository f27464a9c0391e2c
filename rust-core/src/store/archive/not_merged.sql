-- How many rows the other table has nothing for that is as new: neither a row of the same
-- question nor, for rows without one, the row of the same name.
-- {from}, {into}: tables; {season}: a literal; {range}: which rows
-- Parameters: those of {range}
SELECT COUNT(*)
FROM (SELECT * FROM {from} WHERE {range}) AS source
WHERE NOT EXISTS (
    SELECT 1 FROM {into} AS target
    WHERE target.season = {season} AND target.player = source.player
      AND target.question_id = source.question_id
      AND (target.review_version > source.review_version
           OR (target.review_version = source.review_version
               AND (target.next_review_date > source.next_review_date
                    OR (source.next_review_date IS NULL AND target.next_review_date IS NOT NULL)
                    OR (target.next_review_date <=> source.next_review_date
                        AND target.stability >= source.stability)))))
  AND NOT EXISTS (
    SELECT 1 FROM {into} AS target
    WHERE target.season = {season} AND target.name = source.name
      AND (source.player IS NULL OR source.question_id IS NULL)
      AND target.player <=> source.player AND target.question_id <=> source.question_id)
