-- The next submits of a student that are to move, locked: a worker that applies one of
-- them is waited for. Tombstones stay where they are.
-- Parameters: player, submission id before the page, limit
SELECT submission_id
FROM memora_srs_journal
WHERE player = ? AND submission_id > ? AND NOT (state = 'dismissed' AND applied_at IS NOT NULL)
ORDER BY submission_id
LIMIT ?
FOR UPDATE
