-- The end of the next chunk of rows without a season.
--
-- Why chunks: one UPDATE of a large table holds its locks and its undo log for minutes.
-- Why by name: the key's first column, so that each chunk continues where the last one
-- ended and the table is read once.
-- {table}: the tracker or the archived tracker.
-- In:  1 last name of the chunk before ('' at first), 2 rows in a chunk, less one.
-- Out: last name of this chunk; no row: fewer are left than a chunk.

SELECT name
  FROM {table}
 WHERE name > ? AND (season IS NULL OR season = '')
 ORDER BY name
 LIMIT ?, 1
