-- Sets when questions are due, for callers who know no more than that.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 time to live of a key that this call makes (ms), 4 now (version),
--       then per question 4: question, fingerprint, score, due check (4 bytes)
-- Returns {standing, {question, ...}}: on a COMPLETE schedule the questions that have no
-- record, which were left alone; what to say of them only the table knows.
--
-- On a complete schedule the record keeps what it says and gets the new due time, under
-- a version higher than the one it had. Any other key becomes a partial one: these
-- members and the partial marker. It is believed by nobody but the fill that takes them
-- over. What else such a key held is not kept: it has no known origin.
dirty(KEYS[3])
local set, details = KEYS[1], KEYS[2]
local state, here = standing(set, ARGV[1])
if state == FOREIGN or state == REPLICA then
  return { state, {} }
end
local token, buckets = details_meta(details)
if state == COMPLETE and not token then
  state = INCOMPLETE
end

if state == INCOMPLETE then
  local partial = partial_marker(ARGV[1], here)
  local made = not redis.call('ZSCORE', set, partial)
  if made then
    redis.call('UNLINK', set, details)
    redis.call('ZADD', set, '+inf', partial)
    redis.call('PEXPIRE', set, ARGV[3])
  end
  for i = 5, #ARGV, 4 do
    redis.call('ZADD', set, ARGV[i + 2], ARGV[i])
  end
  return { INCOMPLETE, {} }
end

local now, unknown = tonumber(ARGV[4]), {}
for i = 5, #ARGV, 4 do
  local question, fingerprint, score = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local field = bucket_of(fingerprint, buckets)
  local bucket = redis.call('HGET', details, field) or ''
  local at = find_record(bucket, fingerprint)
  if not at or not redis.call('ZSCORE', set, question) then
    unknown[#unknown + 1] = question
  else
    local old = string.sub(bucket, at, at + RECORD - 1)
    local version = math.max(now, number(string.sub(old, 13, 19)) + 1)
    local record = fingerprint .. ARGV[i + 3] .. seven_bytes(version) .. string.sub(old, 20)
    bucket = string.sub(bucket, 1, at - 1) .. record .. string.sub(bucket, at + RECORD)
    redis.call('HSET', details, field, bucket)
    redis.call('ZADD', set, score, question)
    local of_subject = subject_set(details, ARGV[2], token, string.sub(old, 31, 32))
    if of_subject then
      redis.call('ZADD', of_subject, score, question)
    end
  end
end
return { COMPLETE, unknown }
