-- Gives one chunk of rows without a season a season.
--
-- Why IGNORE: where the unique key exists already, a row may meet one of the same
-- question in that season. It is left as it is and merged by itself (0013).
-- Why modified stays: it tells which of two duplicates is newer.
-- {table}: the tracker or the archived tracker; {to}: "AND name <= ?", absent for the
-- last chunk.
-- In: 1 season, 2 name before the chunk, 3 last name of the chunk.

UPDATE IGNORE {table}
   SET season = ?
 WHERE name > ? AND (season IS NULL OR season = '') {to}
