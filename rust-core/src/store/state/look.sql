-- A note, and whether somebody holds its lock (take.sql).
-- Parameters: name
SELECT name, value, DATE_FORMAT(modified_at, '%Y-%m-%dT%H:%i:%s.%f'),
       IS_USED_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':', name)))) IS NOT NULL
FROM memora_srs_state
WHERE name = ?
