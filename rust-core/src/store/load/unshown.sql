
UNION ALL
SELECT DISTINCT 2, b.n, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM ({bytes}) b
STRAIGHT_JOIN memora_srs_journal j ON j.player = b.player
WHERE j.season = ? AND j.cached_at IS NULL AND j.applied_at IS NOT NULL
