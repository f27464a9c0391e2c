-- Takes a piece of work's lock, of this database, if it is free. A lock's name has 64
-- characters at most. As bytes, which names of any characters have in common.
-- Parameters: name
SELECT GET_LOCK(CONCAT('memora_srs:', MD5(CONCAT(BINARY DATABASE(), ':', BINARY ?))), 0)
