-- Whether entries of the Error Log are numbered by a sequence (Frappe 14)
SELECT DATA_TYPE = 'bigint'
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'tabError Log' AND COLUMN_NAME = 'name'
