-- Makes tombstones of journal rows: applied, for every job and retry that comes by, and
-- in nobody's overlay. The payload stays, for the answer to a client that repeats its
-- request under the old name.
-- {ids}: a list. Parameters: player, ids
UPDATE memora_srs_journal
SET state = 'dismissed', applied_at = COALESCE(applied_at, UTC_TIMESTAMP(6)),
    cached_at = COALESCE(cached_at, UTC_TIMESTAMP(6)),
    next_try_at = NULL, claimed_by = NULL, claimed_at = NULL, error = NULL
WHERE player = ? AND submission_id IN ({ids})
