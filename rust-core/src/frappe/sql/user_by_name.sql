-- One user with the settings of the site, for a session read from Redis.
--
-- Input: 1 the user's name. `settings` is settings.sql.
-- Result: exactly one row. user_name is NULL if there is no such user.
SELECT
    u.name AS user_name,
    u.enabled,
    u.restrict_ip,
    u.bypass_restrict_ip_check_if_2fa_enabled AS bypass_ip_check,
    settings.*
FROM settings
LEFT JOIN `tabUser` u ON u.name = ?
