-- What the table keeps of a session, before it is refreshed.
--
-- Input: 1 the session id.
-- Result: at most one row. None: logged out meanwhile.
SELECT sid, sessiondata FROM `tabSessions` WHERE sid = ? LIMIT 1
