-- Notes into whom a User was merged, for whoever is told only that it was deleted.
-- Parameters: name of the note, new
INSERT INTO memora_srs_state (name, value, modified_at)
VALUES (?, JSON_OBJECT('into', ?), UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE value = VALUES(value), modified_at = VALUES(modified_at)
