-- A page of the questions in the subjects' schedules, one after the other.
--
-- KEYS  1 schedule, 2 details
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 which of the subjects' schedules, from 1, 4 first rank, 5 last rank
-- Returns {standing} unless COMPLETE, else {0, how many such schedules, {member, ...}}.
local state = standing(KEYS[1], ARGV[1])
local token = details_meta(KEYS[2])
if state ~= COMPLETE or not token then
  return { state == COMPLETE and INCOMPLETE or state }
end
local sets = sets_of(KEYS[2], ARGV[2], token)
local set = sets[tonumber(ARGV[3])]
return { COMPLETE, #sets, set and redis.call('ZRANGE', set.key, ARGV[4], ARGV[5]) or {} }
