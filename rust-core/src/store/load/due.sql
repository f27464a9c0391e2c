-- The most overdue rows. Parameters: player, season, now (site wall time), [subject,] limit
SELECT question_id, stability, next_review_date, last_review_date, review_version,
       subject, topic
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND season = ? AND next_review_date <= ? AND question_id IS NOT NULL
      {subject}
ORDER BY next_review_date
LIMIT ?
