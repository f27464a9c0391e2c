-- How many rows are due. Parameters: player, season, now (site wall time)[, subject]
SELECT COUNT(*)
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND season = ? AND next_review_date <= ? AND question_id IS NOT NULL
      {subject}
