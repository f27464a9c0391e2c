-- The columns of a table, in order.
-- In:  1 the table's name.
-- Out: name, type, whether it may be NULL, default as SQL, character set, collation.
SELECT column_name, column_type, is_nullable = 'YES', column_default,
       character_set_name, collation_name
  FROM information_schema.columns
 WHERE table_schema = DATABASE() AND table_name = ?
 ORDER BY ordinal_position
