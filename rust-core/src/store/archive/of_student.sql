-- Parameters: player, season, question (those after it), limit
SELECT question_id, stability, NULL, NULL, review_version, subject, topic,
       next_review_date, last_review_date, archived_at, eligible_for_deletion
FROM `tabArchived Memory Tracker`
WHERE player = ? AND season = ? AND question_id > ?
ORDER BY question_id
LIMIT ?
