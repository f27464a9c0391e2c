-- Site-wide settings that a login needs.
--
-- Result: exactly one row. A field that was never saved is NULL.
-- session_expiry is kept twice; Frappe 14 and 15 read the global default (the oldest one
-- if there are several), 16 reads System Settings.
SELECT
    MAX(CASE WHEN field = 'time_zone' THEN value END) AS time_zone,
    MAX(CASE WHEN field = 'session_expiry' THEN value END) AS session_expiry,
    MAX(CASE WHEN field = 'allow_error_traceback' THEN value END) AS allow_error_traceback,
    MAX(CASE WHEN field = 'enable_two_factor_auth' THEN value END) AS enable_two_factor_auth,
    MAX(CASE WHEN field = 'bypass_restrict_ip_check_if_2fa_enabled' THEN value END)
        AS bypass_ip_check_for_all,
    MAX(CASE WHEN field = 'deny_multiple_sessions' THEN value END) AS deny_multiple_sessions,
    (
        SELECT defvalue FROM `tabDefaultValue`
        WHERE parent = '__default' AND defkey = 'session_expiry' AND defvalue IS NOT NULL
        ORDER BY creation LIMIT 1
    ) AS default_session_expiry
FROM `tabSingles`
WHERE doctype = 'System Settings'
    AND field IN (
        'time_zone', 'session_expiry', 'allow_error_traceback', 'enable_two_factor_auth',
        'bypass_restrict_ip_check_if_2fa_enabled', 'deny_multiple_sessions'
    )
