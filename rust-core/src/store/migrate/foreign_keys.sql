-- Foreign keys from or to a table.
-- In:  1, 2 the table's name.
SELECT constraint_name
  FROM information_schema.referential_constraints
 WHERE constraint_schema = DATABASE() AND (table_name = ? OR referenced_table_name = ?)
