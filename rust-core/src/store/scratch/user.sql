-- A user who cannot log in: not enabled, and without a password.
-- Parameters: name, when (wall time of the site)
INSERT INTO `tabUser` (name, creation, modified, modified_by, owner, enabled, email, first_name,
                       full_name, user_type)
SELECT t.name, t.at, t.at, 'Administrator', 'Administrator', 0, t.name, 'memora-srs check',
       'memora-srs check', 'Website User'
  FROM (SELECT ? AS name, CAST(? AS datetime(6)) AS at) AS t
