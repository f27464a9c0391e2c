-- How many locks of a kind's names (take.sql) somebody holds: of all seasons, and of single ones.
-- Parameters: the kind
SELECT CAST(COUNT(*) AS UNSIGNED)
FROM (SELECT ? AS kind) k,
     (SELECT '' AS season UNION ALL SELECT CONCAT(':', name) FROM `tabGame Subscription Season`) s
WHERE IS_USED_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':', BINARY kind, BINARY season)))) IS NOT NULL
