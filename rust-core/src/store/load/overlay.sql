-- What a student has in a season that is not applied yet.
-- Parameters: player, season (bytes)
SELECT payload
FROM memora_srs_journal
WHERE player = ? AND season = ? AND applied_at IS NULL AND state <> 'dismissed'
