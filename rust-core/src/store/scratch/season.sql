-- A season that was never active, changed last long enough ago that nobody need wait until
-- every process has noticed.
-- Parameters: name, when (wall time of the site, a day ago)
INSERT INTO `tabGame Subscription Season`
       (name, creation, modified, modified_by, owner, season_name, title, is_active, enable_redis)
SELECT t.name, t.at, t.at, 'Administrator', 'Administrator', t.name,
       'memora-srs check: goes by itself', 0, 1
  FROM (SELECT ? AS name, CAST(? AS datetime(6)) AS at) AS t
