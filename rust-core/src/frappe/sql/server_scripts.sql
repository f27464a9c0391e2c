-- Methods that a Server Script answers instead of the app, and the site's apps.
--
-- Input: 1 a pattern of the methods' names.
-- Result: one row; methods has a name a line, NULL if there is none; apps is a JSON list of
-- names, NULL if Frappe has none.
SELECT GROUP_CONCAT(DISTINCT api_method SEPARATOR '\n') AS methods,
       (SELECT MAX(defvalue)
        FROM tabDefaultValue
        WHERE parent = '__global' AND defkey = 'installed_apps') AS apps
FROM `tabServer Script`
WHERE script_type = 'API' AND disabled = 0 AND api_method LIKE ?
