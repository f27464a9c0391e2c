-- Whether somebody holds a piece of work's lock (take.sql).
-- Parameters: name
SELECT IS_USED_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':', BINARY ?)))) IS NOT NULL
