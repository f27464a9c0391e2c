-- Due questions of one student, most overdue first, with their details.
--
-- KEYS  1 schedule, 2 details, 3 schedule of the subject (only with a subject)
-- ARGV  1 own part of the marker, 2 now (score), 3 how many at most
-- Returns {standing} unless COMPLETE and with all details, else
--   {0, total due, page: question, score, ..., records, how many names,
--    names: number, name, ...}
-- A page, its records and its names are one text each, records side by side, the parts of
-- the others with a zero byte between them: what Redis makes of a list, part by part, and
-- the caller reads, takes longer than all of this script.
-- A subject's schedule holds the token of the details it was made with; without it
-- nothing is known about that subject: {1}.
local own, now, limit = ARGV[1], ARGV[2], ARGV[3]
local state = standing(KEYS[1], own)
if state ~= COMPLETE then
  return { state }
end
local set = KEYS[1]
local token, buckets = details_meta(KEYS[2])
if KEYS[3] then
  if not token or not redis.call('ZSCORE', KEYS[3], '\0' .. token) then
    return { INCOMPLETE }
  end
  set = KEYS[3]
end
local total = redis.call('ZCOUNT', set, '-inf', now)
local page = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
if #page == 0 then
  return { COMPLETE, total, '', '', 0, '' }
end
if not buckets then
  return { INCOMPLETE }
end

-- A bucket is read once, however many of the questions lie in it: each byte that becomes
-- Lua's costs.
local fields, place_of, places, fingerprints = {}, {}, {}, {}
for i = 1, #page / 2 do
  local fingerprint = fingerprint_of(page[2 * i - 1])
  local field = bucket_of(fingerprint, buckets)
  local place = place_of[field]
  if not place then
    place = #fields + 1
    place_of[field], fields[place] = place, field
  end
  places[i], fingerprints[i] = place, fingerprint
end
local found = redis.call('HMGET', KEYS[2], unpack(fields))
local records, numbers, met = {}, {}, { [0] = true }
for i, fingerprint in ipairs(fingerprints) do
  local bucket = found[places[i]]
  local at = bucket and find_record(bucket, fingerprint)
  if not at then
    return { INCOMPLETE }
  end
  records[i] = string.sub(bucket, at, at + RECORD - 1)
  local a, b, c, d = string.byte(bucket, at + 30, at + 33)
  local subject, topic = a * 256 + b, c * 256 + d
  if not met[subject] then
    met[subject], numbers[#numbers + 1] = true, subject
  end
  if not met[topic] then
    met[topic], numbers[#numbers + 1] = true, topic
  end
end
local names = {}
if #numbers > 0 then
  for i, n in ipairs(numbers) do
    fields[i] = 'n' .. n
  end
  local texts = redis.call('HMGET', KEYS[2], unpack(fields, 1, #numbers))
  for i, n in ipairs(numbers) do
    names[2 * i - 1], names[2 * i] = n, texts[i] or ''
  end
end
return {
  COMPLETE, total, table.concat(page, '\0'), table.concat(records), #numbers,
  table.concat(names, '\0'),
}
