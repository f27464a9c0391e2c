-- Ids of random rows of some students of a season, from the unique index alone: each row
-- with the same chance. A row without a due time shows nowhere, and is left out later.
-- Parameters: the students, season, the students, seed, chance (0 to 1), limit
SELECT b.n, t.question_id
FROM `tabPlayer Memory Tracker` t FORCE INDEX (uq_pmt_player_season_question)
STRAIGHT_JOIN ({names}) b ON b.player = t.player
WHERE t.season = ? AND t.player IN ({players}) AND t.question_id IS NOT NULL AND RAND(?) < ?
LIMIT ?
