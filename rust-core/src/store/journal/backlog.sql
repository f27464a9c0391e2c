-- What is not applied yet: rows still on their way, rows given up, and the age of the oldest
-- on its way, in seconds by the database's clock (NULL if there is none).
-- The states say all of it; applied_at keeps what was ever applied from being read.
SELECT CAST(COALESCE(SUM(state IN ('pending', 'queued', 'failed')
                         AND NOT next_try_at <=> '9999-12-31'), 0) AS UNSIGNED),
       CAST(COALESCE(SUM(state = 'failed' AND next_try_at <=> '9999-12-31'), 0) AS UNSIGNED),
       TIMESTAMPDIFF(MICROSECOND,
                     MIN(CASE WHEN state IN ('pending', 'queued', 'failed')
                                   AND NOT next_try_at <=> '9999-12-31' THEN created_at END),
                     UTC_TIMESTAMP(6)) / 1e6
FROM memora_srs_journal FORCE INDEX (idx_journal_work)
WHERE applied_at IS NULL
