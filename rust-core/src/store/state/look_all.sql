-- The notes of a kind; as look.sql.
-- Parameters: the kind and a colon, without wildcards
SELECT name, value, DATE_FORMAT(modified_at, '%Y-%m-%dT%H:%i:%s.%f'),
       IS_USED_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':', name)))) IS NOT NULL
FROM memora_srs_state
WHERE name LIKE BINARY CONCAT(?, '%')
ORDER BY name
