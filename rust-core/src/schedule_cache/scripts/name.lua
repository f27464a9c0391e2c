-- Gives questions that have neither subject nor topic theirs; due times and versions stay.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       then per question 4: question, fingerprint, subject, topic ('' for none)
-- Returns {standing, questions named}. A question without a record is left: it is looked
-- up in the table, which has the names.
dirty(KEYS[3])
local state = standing(KEYS[1], ARGV[1])
local set, details = KEYS[1], KEYS[2]
local token, buckets = details_meta(details)
-- Without details there is nothing to name; a fill reads the names from the table.
if state ~= COMPLETE or not token then
  return { state, 0 }
end
local named = 0
for i = 3, #ARGV, 4 do
  local question = ARGV[i]
  local field = bucket_of(ARGV[i + 1], buckets)
  local bucket = redis.call('HGET', details, field) or ''
  local at = find_record(bucket, ARGV[i + 1])
  if at and string.sub(bucket, at + 30, at + 33) == '\0\0\0\0' then
    local subject = two_bytes(number_of(details, ARGV[i + 2]))
    local topic = two_bytes(number_of(details, ARGV[i + 3]))
    bucket = string.sub(bucket, 1, at + 29) .. subject .. topic .. string.sub(bucket, at + RECORD)
    redis.call('HSET', details, field, bucket)
    -- A record outlives its member where a tool took that out.
    local score = redis.call('ZSCORE', set, question)
    local of_subject = subject_set(details, ARGV[2], token, subject)
    if score and of_subject then
      redis.call('ZADD', of_subject, score, question)
    end
    named = named + 1
  end
end
return { COMPLETE, named }
