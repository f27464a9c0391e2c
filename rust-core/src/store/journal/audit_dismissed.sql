-- Parameters: who, player, submission_id
INSERT INTO memora_srs_audit
  (season, player, submission_id, door, worker, `count`, tries, result)
SELECT season, player, submission_id,
       COALESCE(IF(JSON_VALID(payload), JSON_VALUE(payload, '$.door'), NULL), 'cli'), ?,
       COALESCE(IF(JSON_VALID(payload), JSON_LENGTH(payload, '$.items'), 0), 0), tries, 'dismissed'
FROM memora_srs_journal
WHERE player = ? AND submission_id = ?
