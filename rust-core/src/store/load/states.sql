-- The whole truth about a student's season in one snapshot: what is not applied yet,
-- and the rows. One autocommit statement reads one snapshot; two statements could
-- miss a review that is applied between them.
-- Parameters: player, season (bytes); player, season
SELECT 1, payload, NULL, NULL, NULL, NULL, NULL, NULL
FROM memora_srs_journal
WHERE player = ? AND season = ? AND applied_at IS NULL AND state <> 'dismissed'
UNION ALL
SELECT 0, question_id, stability, next_review_date, last_review_date, review_version,
       subject, topic
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND season = ? AND next_review_date IS NOT NULL AND question_id IS NOT NULL
