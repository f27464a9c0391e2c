-- Parameters: name
DO RELEASE_LOCK(CONCAT('memora_srs:', MD5(CONCAT(DATABASE(), ':', ?))))
