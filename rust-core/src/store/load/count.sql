-- Questions of a student in a season. Parameters: player, season
SELECT COUNT(*)
FROM `tabPlayer Memory Tracker`
WHERE player = ? AND season = ?
