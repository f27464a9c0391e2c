-- All seasons, those that students play first, then the latest. Whether a season is being
-- reconciled is known by the lock of that work (store/state/take.sql).
-- Parameter: how many at most
SELECT s.name, s.is_active, s.enable_redis, COALESCE(s.auto_archive, 0), s.start_date, s.end_date,
       s.archived_on,
       IS_USED_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':reconcile:',
                                                     BINARY s.name)))) IS NOT NULL
FROM `tabGame Subscription Season` AS s
ORDER BY s.is_active DESC, s.archived_on IS NOT NULL, s.start_date DESC, s.name
LIMIT ?
