-- Whether the new state wins over the row's; see upsert.sql.
player = VALUES(player) AND question_id = VALUES(question_id)
  AND (VALUES(review_version) > review_version
       OR (VALUES(review_version) = review_version
           AND (next_review_date IS NULL OR VALUES(next_review_date) > next_review_date
                OR (VALUES(next_review_date) = next_review_date
                    AND VALUES(stability) > stability))))
