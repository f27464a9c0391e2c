-- The inactive season SEASON-DEFAULT, to which rows belong that have no other.
--
-- In: 1 now, the site's wall time (creation and modified are in that zone, which this
--       server does not know).

INSERT INTO `tabGame Subscription Season`
       (name, creation, modified, modified_by, owner, season_name, title, is_active, enable_redis)
SELECT 'SEASON-DEFAULT', t.now, t.now, 'Administrator', 'Administrator',
       'SEASON-DEFAULT', 'SEASON-DEFAULT', 0, 1
  FROM (SELECT CAST(? AS datetime(6)) AS now) AS t
 WHERE NOT EXISTS (SELECT 1 FROM `tabGame Subscription Season` WHERE name = 'SEASON-DEFAULT')
