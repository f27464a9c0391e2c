-- A session that Redis does not know, with its user and the settings of the site.
--
-- Input: 1 the session id. `settings` is settings.sql.
-- Result: exactly one row. sid is NULL if there is no such session. The comparison
-- ignores case and trailing blanks, so the caller compares the returned sid exactly.
SELECT
    s.sid,
    s.user AS session_user,
    s.sessiondata,
    s.lastupdate,
    u.name AS user_name,
    u.enabled,
    u.restrict_ip,
    u.bypass_restrict_ip_check_if_2fa_enabled AS bypass_ip_check,
    settings.*
FROM settings
LEFT JOIN `tabSessions` s ON s.sid = ?
LEFT JOIN `tabUser` u ON u.name = s.user
LIMIT 1
