-- The sweeper saw to it that these rows have a job: it has so long to come. What is locked
-- is being applied, and needs nothing of this. What its job has applied meanwhile, or could
-- not apply, is no longer pending and stays as it is.
-- {keys}: as in claimed.sql. Parameters: seconds; per row: player, submission_id
UPDATE memora_srs_journal
SET state = 'queued', claimed_by = NULL, claimed_at = NULL,
    next_try_at = UTC_TIMESTAMP(6) + INTERVAL ? SECOND
WHERE state = 'pending' AND ({keys})
