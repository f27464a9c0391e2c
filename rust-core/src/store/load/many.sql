-- As states.sql, of several students in one snapshot; the second column says of which.
-- Parameters: the students (bytes), season (bytes); the students, season[, questions]
SELECT 1, b.n, j.payload, NULL, NULL, NULL, NULL, NULL, NULL
FROM ({bytes}) b
STRAIGHT_JOIN memora_srs_journal j ON j.player = b.player
WHERE j.season = ? AND j.applied_at IS NULL AND j.state <> 'dismissed'
UNION ALL
SELECT 0, b.n, t.question_id, t.stability, t.next_review_date, t.last_review_date,
       t.review_version, t.subject, t.topic
FROM {rows}
WHERE t.season = ? AND t.next_review_date IS NOT NULL AND t.question_id IS NOT NULL{questions}
