-- Some members of a schedule, by rank: whoever draws the ranks at random draws members at
-- random.
--
-- KEYS  1 schedule, 2 details
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 where in the subjects' schedules to take one more, 0 to below 1; '' for nowhere,
--       then ranks
-- Returns {standing} unless COMPLETE, else {0, questions in the schedule, {member, ...}}.
-- Ranks beyond the end are left out. Without details nobody is served from a schedule: it
-- is INCOMPLETE.
local state = standing(KEYS[1], ARGV[1])
local token = details_meta(KEYS[2])
if state ~= COMPLETE or not token then
  return { state == COMPLETE and INCOMPLETE or state }
end
local found = {}
for i = 4, #ARGV do
  found[#found + 1] = redis.call('ZRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
end
local place = tonumber(ARGV[3])
if place then
  local sets = sets_of(KEYS[2], ARGV[2], token)
  if #sets > 0 then
    place = place * #sets
    local set = sets[math.floor(place) + 1].key
    -- The token comes last; it is no question.
    local questions = redis.call('ZCARD', set) - 1
    local rank = string.format('%d', math.floor((place % 1) * questions))
    found[#found + 1] = redis.call('ZRANGE', set, rank, rank)[1]
  end
end
return { COMPLETE, redis.call('ZCARD', KEYS[1]) - 1, found }
