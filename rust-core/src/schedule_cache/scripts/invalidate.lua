-- Forgets one student's schedule: the next read comes from the table and the journal.
-- The set and its companions go together; removing only the marker would leave members
-- that nobody keeps current.
--
-- KEYS  1 schedule, 2 details, 3 lease, then further companions that are known to be there
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash
-- Returns {standing, 1 if there was a schedule}. One of another site is that site's to forget.
local state = standing(KEYS[1], ARGV[1])
if state == FOREIGN or state == REPLICA then
  return { state, 0 }
end
dirty(KEYS[3])
local was = redis.call('EXISTS', KEYS[1])
local keys = { KEYS[1], KEYS[2] }
for subject in string.gmatch(redis.call('HGET', KEYS[2], 's') or '', '[^%z]+') do
  keys[#keys + 1] = ARGV[2] .. string.sub(redis.sha1hex(subject), 1, 16)
end
for i = 4, #KEYS do
  keys[#keys + 1] = KEYS[i]
end
redis.call('UNLINK', unpack(keys))
return { state, was }
