-- Parameters: name
INSERT IGNORE INTO memora_srs_state (name, value, modified_at)
VALUES (?, '[]', UTC_TIMESTAMP(6))
