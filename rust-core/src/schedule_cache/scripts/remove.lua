-- Takes a question out of a schedule.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 question, 4 fingerprint
-- Returns {standing, 1 if it was there}.
dirty(KEYS[3])
local set, details = KEYS[1], KEYS[2]
local state, here = standing(set, ARGV[1])
if state == FOREIGN or state == REPLICA then
  return { state, 0 }
end
if state == INCOMPLETE and not redis.call('ZSCORE', set, partial_marker(ARGV[1], here)) then
  redis.call('UNLINK', set, details)
  return { state, 0 }
end
local removed = redis.call('ZREM', set, ARGV[3])
local token, buckets = details_meta(details)
if state == COMPLETE and token then
  local field = bucket_of(ARGV[4], buckets)
  local bucket = redis.call('HGET', details, field) or ''
  local at = find_record(bucket, ARGV[4])
  if at then
    local of_subject = subject_set(details, ARGV[2], token, string.sub(bucket, at + 30, at + 31))
    if of_subject then
      redis.call('ZREM', of_subject, ARGV[3])
    end
    local rest = string.sub(bucket, 1, at - 1) .. string.sub(bucket, at + RECORD)
    redis.call('HSET', details, field, rest)
  end
end
return { state, removed }
