-- States of some questions of several students in one snapshot, as states.sql has those of
-- one. 2: students with a row that is applied and that the cache may lack.
-- Parameters: season (bytes), players (bytes); season, {questions}[; season, players (bytes)]
SELECT 1, player, payload, NULL, NULL, NULL, NULL, NULL, NULL
FROM memora_srs_journal
WHERE season = ? AND player IN ({players}) AND applied_at IS NULL AND state <> 'dismissed'
UNION ALL
SELECT 0, player, question_id, stability, next_review_date, last_review_date, review_version,
       subject, topic
FROM `tabPlayer Memory Tracker`
WHERE season = ? AND next_review_date IS NOT NULL AND ({questions})
