-- Parameters: name
SELECT value FROM memora_srs_state WHERE name = ?
