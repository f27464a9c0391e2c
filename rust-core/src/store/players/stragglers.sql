-- Rows that were written under the old name while Frappe renamed the others. By the exact
-- name: the new one may differ in case only.
-- {table}: the tracker or the archive; {also}: nothing, or stragglers_archived.sql.
-- Parameters: player, player, limit
SELECT name
FROM {table}
WHERE player = ? AND CAST(player AS BINARY) = ?{also}
LIMIT ?
FOR UPDATE
