-- How a table is partitioned.
-- In:  1 the table's name.
-- Out: method and expression, both NULL if it is not.
SELECT partition_method, partition_expression
  FROM information_schema.partitions
 WHERE table_schema = DATABASE() AND table_name = ?
 LIMIT 1
