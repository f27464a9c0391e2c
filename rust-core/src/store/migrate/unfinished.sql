-- Where a migration that did not finish stopped; no row if none.
SELECT JSON_VALUE(value, '$.at')
  FROM memora_srs_state
 WHERE name = 'migrate' AND JSON_VALUE(value, '$.state') = 'running'
