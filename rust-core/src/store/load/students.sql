-- Students of a season after one of them, in index order, and how many questions each has:
-- in the spelling of their rows, and in that of their User, which names their schedule.
-- Parameters: season, the last student seen, how many
SELECT s.player, COALESCE(u.name, s.player), s.questions
FROM (
    SELECT player, COUNT(*) AS questions
    FROM `tabPlayer Memory Tracker`
    WHERE season = ? AND player > ?
    GROUP BY player
    ORDER BY player
    LIMIT ?
) s
LEFT JOIN `tabUser` u ON u.name = s.player
ORDER BY s.player
