-- The active seasons, and the one asked for by any spelling that the table takes for
-- the same. Whether one is being archived is in the note of that work, whose name is bytes.
-- Parameter: name ('' for none)
SELECT s.name, s.is_active, s.enable_redis, s.start_date, s.end_date, s.archived_on IS NOT NULL,
       EXISTS (SELECT 1 FROM memora_srs_state AS n
               WHERE n.name = BINARY CONCAT('archive:', s.name)
                 AND JSON_VALUE(n.value, '$.state') = 'archiving'),
       s.name = ?
FROM `tabGame Subscription Season` AS s
WHERE s.is_active = 1 OR s.name = ?
