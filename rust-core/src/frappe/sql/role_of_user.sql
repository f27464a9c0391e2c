-- Whether a user has a role, as Frappe's `get_roles` reads it.
--
-- Input: 1 the user's name, 2 the role.
-- Result: a row for each time it was given, mostly none or one. The comparison ignores case
-- and trailing blanks, so the caller compares the returned role exactly.
SELECT role FROM `tabHas Role` WHERE parent = ? AND parenttype = 'User' AND role = ?
