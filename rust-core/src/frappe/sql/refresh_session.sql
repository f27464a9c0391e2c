-- Extends a session: the columns that Frappe 15 writes every ten minutes.
--
-- Input: 1 new text, 2 now, 3 now (site wall time), 4 session id, 5 the text as it was
-- read.
-- Result: affected rows, 0 if the session is gone or was changed since it was read: it may
-- have got a CSRF token, and whoever changed it extended it too. Then nothing is written:
-- a session that was logged out stays so.
UPDATE `tabSessions` s
JOIN `tabUser` u ON u.name = s.user
SET s.sessiondata = ?, s.lastupdate = ?, u.last_active = ?
WHERE s.sid = ? AND s.sessiondata = BINARY ?
