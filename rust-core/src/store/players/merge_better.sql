-- Of two rows of one question the newer state stays (rule C1, as in ../apply/guard.sql):
-- where that is the one under the old name, it moves into the row under the new name.
-- {table}: the tracker or the archive; {only}: which rows of the old name, or nothing.
-- Parameters: old, new[, names]
UPDATE {table} AS gone
  JOIN {table} AS kept
    ON kept.season = gone.season AND kept.question_id = gone.question_id
       AND kept.name <> gone.name
   SET kept.modified = gone.modified,
       kept.subject = COALESCE(gone.subject, kept.subject),
       kept.topic = COALESCE(gone.topic, kept.topic),
       kept.last_review_date = gone.last_review_date,
       kept.stability = gone.stability,
       kept.next_review_date = gone.next_review_date,
       kept.review_version = gone.review_version
 WHERE gone.player = ? AND kept.player = ? {only}
   AND (gone.review_version > kept.review_version
        OR (gone.review_version = kept.review_version
            AND (gone.next_review_date > kept.next_review_date
                 OR (gone.next_review_date IS NOT NULL AND kept.next_review_date IS NULL)
                 OR (gone.next_review_date <=> kept.next_review_date
                     AND gone.stability > kept.stability))))
