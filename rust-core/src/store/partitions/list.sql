-- The partitions of a table.
-- In:  1 the table's name.
-- Out: name and values (both NULL for a table without partitions), estimated rows,
--      bytes of data, bytes of indexes; in the table's order.
SELECT partition_name, partition_description, COALESCE(table_rows, 0),
       COALESCE(data_length, 0), COALESCE(index_length, 0)
  FROM information_schema.partitions
 WHERE table_schema = DATABASE() AND table_name = ?
 ORDER BY partition_ordinal_position
