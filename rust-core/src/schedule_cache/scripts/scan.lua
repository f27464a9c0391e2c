-- One page of a schedule's members, complete or partial, by ZSCAN: whoever is there from
-- the first page to the last is seen.
--
-- KEYS  1 schedule
-- ARGV  1 own part of the marker, 2 cursor, 3 about how many,
--       4 'partial': only of a key with the partial marker; 'any': of a complete one too
-- Returns {standing, next cursor, {member, score, ...}}, markers included.
local set = KEYS[1]
local state, here = standing(set, ARGV[1])
if state == FOREIGN or state == REPLICA then
  return { state }
end
local wanted = state == COMPLETE and ARGV[4] == 'any'
if not wanted and not redis.call('ZSCORE', set, partial_marker(ARGV[1], here)) then
  return { state, '0', {} }
end
local page = redis.call('ZSCAN', set, ARGV[2], 'COUNT', ARGV[3])
return { state, page[1], page[2] }
