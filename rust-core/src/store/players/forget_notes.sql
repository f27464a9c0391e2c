-- Notes of merge_note.sql that count no more. Parameters: a prefix of names, limit
DELETE FROM memora_srs_state
WHERE name LIKE ? AND modified_at <= UTC_TIMESTAMP(6) - INTERVAL 1 DAY
LIMIT ?
