-- Gives rows that meet no other to the new name; modified stays, as in Frappe's own
-- renaming. MariaDB assigns from left to right: player comes last.
-- {table}: the tracker or the archive; {ids}: a list. Parameters: new, new, new, old, names
UPDATE {table}
SET owner = IF(owner = player, ?, owner), modified_by = IF(modified_by = player, ?, modified_by),
    player = ?
WHERE player = ? AND name IN ({ids})
