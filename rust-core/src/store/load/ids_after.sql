-- A page of a student's ids. Parameters: player, season, last id of the page before, limit
SELECT question_id
FROM `tabPlayer Memory Tracker` FORCE INDEX (uq_pmt_player_season_question)
WHERE player = ? AND season = ? AND question_id > ?
ORDER BY question_id
LIMIT ?
