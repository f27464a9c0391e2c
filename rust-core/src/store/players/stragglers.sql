-- Rows that were written under the old name while Frappe renamed the others. By the exact
-- name: the new one may differ in case only.
-- Parameters: player, player, limit
SELECT name
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND CAST(player AS BINARY) = ?
LIMIT ?
FOR UPDATE
