-- Whether the new state wins over the row's (rule C1), as ../apply/guard.sql.
{into}.player = VALUES(player) AND {into}.question_id = VALUES(question_id)
  AND (VALUES(review_version) > {into}.review_version
       OR (VALUES(review_version) = {into}.review_version
           AND (({into}.next_review_date IS NULL AND VALUES(next_review_date) IS NOT NULL)
                OR VALUES(next_review_date) > {into}.next_review_date
                OR (VALUES(next_review_date) <=> {into}.next_review_date
                    AND VALUES(stability) > {into}.stability))))
