-- Takes a piece of work's lock, of this database, if it is free. A lock's name has 64
-- characters at most.
-- Parameters: name
SELECT GET_LOCK(CONCAT('memora_srs:', MD5(CONCAT(DATABASE(), ':', ?))), 0)
