-- The columns of a table's indexes, index by index, in order.
-- In:  1 the table's name.
-- Out: index, whether unique, column, whether only its beginning.
SELECT index_name, non_unique = 0, column_name, sub_part IS NOT NULL
  FROM information_schema.statistics
 WHERE table_schema = DATABASE() AND table_name = ?
 ORDER BY index_name, seq_in_index
