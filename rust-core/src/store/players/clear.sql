-- Tombstones in the way of submits that come back, as when a student is renamed twice.
-- {ids}: a list. Parameters: player, ids
DELETE FROM memora_srs_journal
WHERE player = ? AND submission_id IN ({ids}) AND state = 'dismissed' AND applied_at IS NOT NULL
