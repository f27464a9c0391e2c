-- Parameters: days, rows
SET STATEMENT innodb_lock_wait_timeout = 2 FOR
DELETE FROM memora_srs_audit
WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY
ORDER BY created_at
LIMIT ?
