-- Gives rows their subject and topic. review_version stays: this is no review.
-- Parameters: subject, topic, now (site wall time), player, season; ids
UPDATE `tabPlayer Memory Tracker`
SET subject = ?, topic = ?, modified = ?
WHERE player = ? AND season = ? AND question_id IN ({ids})
