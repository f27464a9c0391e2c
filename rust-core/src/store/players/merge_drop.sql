-- Of two rows of one question the one under the old name goes, after merge_better.sql.
-- {table}, {only}: as there.
-- Parameters: old, new[, names]
DELETE gone
  FROM {table} AS gone
  JOIN {table} AS kept
    ON kept.season = gone.season AND kept.question_id = gone.question_id
       AND kept.name <> gone.name
 WHERE gone.player = ? AND kept.player = ? {only}
