-- The cache lacks nothing of these rows. One that is not applied yet gets the next_try_at
-- by which it is found then. Per row: player, submission_id
UPDATE memora_srs_journal
SET cached_at = UTC_TIMESTAMP(6),
    next_try_at = IF(applied_at IS NULL, COALESCE(next_try_at, UTC_TIMESTAMP(6)), next_try_at)
WHERE cached_at IS NULL AND ({keys})
