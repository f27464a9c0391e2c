-- An operator decided that a row is never applied: a tombstone, which is in nobody's overlay
-- and keeps its submission id used until the purge.
-- Parameters: player, submission_id
UPDATE memora_srs_journal
SET state = 'dismissed', applied_at = UTC_TIMESTAMP(6),
    cached_at = COALESCE(cached_at, UTC_TIMESTAMP(6)),
    next_try_at = NULL, claimed_by = NULL, claimed_at = NULL
WHERE player = ? AND submission_id = ?
