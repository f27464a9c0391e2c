-- Ids of random rows of some students of a season, from the unique index alone: each row
-- with the same chance. A row without a due time shows nowhere, and is left out later.
-- Parameters: season, players, seed, chance (0 to 1), limit
SELECT player, question_id
FROM `tabPlayer Memory Tracker` FORCE INDEX (uq_pmt_player_season_question)
WHERE season = ? AND player IN ({players}) AND question_id IS NOT NULL AND RAND(?) < ?
LIMIT ?
