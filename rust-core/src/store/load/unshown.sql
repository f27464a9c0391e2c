UNION ALL
SELECT DISTINCT 2, player, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM memora_srs_journal
WHERE season = ? AND player IN ({players}) AND cached_at IS NULL AND applied_at IS NOT NULL
