-- Applied, and if the cache has it, cached. The rows are locked since lock.sql found them not
-- applied, and here it is only said again. Parameter: cached; per row: player, submission_id
UPDATE memora_srs_journal
SET applied_at = UTC_TIMESTAMP(6), state = 'applied', error = NULL,
    next_try_at = NULL, claimed_by = NULL, claimed_at = NULL,
    cached_at = IF(?, UTC_TIMESTAMP(6), cached_at)
WHERE applied_at IS NULL AND ({keys})
