-- Forgets one student's schedule: the next read comes from the table and the journal.
-- The set and its companions go together; removing only the marker would leave members
-- that nobody keeps current.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- Returns 1 if there was a schedule.
dirty(KEYS[3])
local was = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2])
return was
