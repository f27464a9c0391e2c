-- The owner of an API key with the encrypted secret and the settings of the site.
--
-- Input: 1 the key. `settings` is settings.sql.
-- Result: exactly one row. user_name is NULL if nobody has the key, secret is NULL if
-- none was made for it.
SELECT
    u.name AS user_name,
    u.enabled,
    u.restrict_ip,
    u.bypass_restrict_ip_check_if_2fa_enabled AS bypass_ip_check,
    a.password AS secret,
    settings.*
FROM settings
LEFT JOIN `tabUser` u ON u.api_key = ?
LEFT JOIN `__Auth` a
    ON a.doctype = 'User' AND a.name = u.name AND a.fieldname = 'api_secret' AND a.encrypted = 1
LIMIT 1
