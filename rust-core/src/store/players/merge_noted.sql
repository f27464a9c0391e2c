-- Into whom a User was merged, if that is not long ago: a User of that name that was made
-- later may be deleted for good.
-- Parameters: name of the note
SELECT JSON_VALUE(value, '$.into')
FROM memora_srs_state
WHERE name = ? AND modified_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY
