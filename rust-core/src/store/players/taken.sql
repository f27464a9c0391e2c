-- Which of these submission ids a student has used already.
-- {ids}: a list. Parameters: player, ids; player, ids
SELECT submission_id
FROM memora_srs_journal
WHERE player = ? AND submission_id IN ({ids})
      AND NOT (state = 'dismissed' AND applied_at IS NOT NULL)
UNION
SELECT submission_id
FROM memora_srs_review_log
WHERE player = ? AND submission_id IN ({ids})
