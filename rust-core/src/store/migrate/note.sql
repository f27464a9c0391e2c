-- Notes where the migration stands.
-- In: 1 JSON {state: running or finished, at: step and table}.
INSERT INTO memora_srs_state (name, value) VALUES ('migrate', ?)
ON DUPLICATE KEY UPDATE value = VALUES(value), modified_at = utc_timestamp(6)
