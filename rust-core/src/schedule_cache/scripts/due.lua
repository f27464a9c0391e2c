-- Due questions of one student, most overdue first, with their details.
--
-- KEYS  1 schedule, 2 details, 3 schedule of the subject (only with a subject)
-- ARGV  1 own part of the marker, 2 now (score), 3 how many at most
-- Returns {standing} unless COMPLETE, else
--   {0, total due, {question, score, ...}, {record or false, ...}, {number, name, ...}}
-- A subject's schedule holds the token of the details it was made with; without it
-- nothing is known about that subject: {1}.
local own, now, limit = ARGV[1], ARGV[2], ARGV[3]
local state = standing(KEYS[1], own)
if state ~= COMPLETE then
  return { state }
end
local set = KEYS[1]
if KEYS[3] then
  local token = details_meta(KEYS[2])
  if not token or not redis.call('ZSCORE', KEYS[3], '\0' .. token) then
    return { INCOMPLETE }
  end
  set = KEYS[3]
end
local total = redis.call('ZCOUNT', set, '-inf', now)
local page = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
local fingerprints = {}
for i = 1, #page, 2 do
  fingerprints[#fingerprints + 1] = fingerprint_of(page[i])
end
local records = records_of(KEYS[2], fingerprints)
return { COMPLETE, total, page, records, names_of(KEYS[2], records) }
