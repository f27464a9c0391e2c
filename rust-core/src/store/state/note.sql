-- Parameters: name, JSON
INSERT INTO memora_srs_state (name, value, modified_at)
VALUES (?, ?, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE value = VALUES(value), modified_at = VALUES(modified_at)
