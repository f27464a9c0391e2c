-- The cache lacks nothing of these rows. Waits for no lock: error 1205 if there is one.
-- By their keys, and by no other index, on which it would hold up those who insert rows.
-- Per row: player, submission_id
SET STATEMENT innodb_lock_wait_timeout = 0 FOR
UPDATE memora_srs_journal FORCE INDEX (PRIMARY)
SET cached_at = UTC_TIMESTAMP(6)
WHERE cached_at IS NULL AND ({keys})
