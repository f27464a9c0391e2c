-- Parameters: name
DELETE FROM memora_srs_state WHERE name = ?
