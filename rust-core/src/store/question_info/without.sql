-- Questions that have neither subject nor topic. Frappe stores an empty Link as NULL or ''.
-- Parameters: player, season; ids
SELECT question_id
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND season = ? AND question_id IN ({ids})
  AND COALESCE(subject, '') = '' AND COALESCE(topic, '') = ''
ORDER BY question_id
