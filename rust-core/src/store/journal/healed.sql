-- The cache lacks nothing of these rows. Per row: player, submission_id
UPDATE memora_srs_journal
SET cached_at = UTC_TIMESTAMP(6)
WHERE cached_at IS NULL AND ({keys})
