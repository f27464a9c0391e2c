-- Makes tombstones of a deleted student's journal rows, without their answers.
-- Parameters: an empty payload, player, an empty payload, limit
UPDATE memora_srs_journal
SET payload = ?, state = 'dismissed', applied_at = COALESCE(applied_at, UTC_TIMESTAMP(6)),
    cached_at = COALESCE(cached_at, UTC_TIMESTAMP(6)),
    next_try_at = NULL, claimed_by = NULL, claimed_at = NULL, error = NULL
WHERE player = ? AND (payload <> ? OR applied_at IS NULL OR state <> 'dismissed')
LIMIT ?
