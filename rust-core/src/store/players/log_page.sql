-- The next submits of a student that are in the review log only.
-- Parameters: player, submission id before the page, limit
SELECT DISTINCT submission_id
FROM memora_srs_review_log
WHERE player = ? AND submission_id > ?
ORDER BY submission_id
LIMIT ?
