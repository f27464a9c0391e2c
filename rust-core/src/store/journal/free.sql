-- Those of these rows that no worker has locked now. Per row: player, submission_id
SELECT player, submission_id
FROM memora_srs_journal FORCE INDEX (PRIMARY)
WHERE cached_at IS NULL AND ({keys})
FOR UPDATE SKIP LOCKED
