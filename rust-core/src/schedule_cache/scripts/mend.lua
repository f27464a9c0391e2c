-- Corrects questions that are still exactly as they were when they were inspected: whatever
-- was accepted in between has made them something else, and stays.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 generation, then per question 8: question, fingerprint, score it had ('' if it
--       was not there), record it had ('' for none), new score ('' to take it out, '=' to
--       leave it as it is), packed, subject, topic ('' for none)
-- Returns {standing, {1 if it was corrected, 0 if it had changed, ...}}.
--
-- A subject's schedule that is wrong about a question which is right itself goes: whoever
-- asks for the subject has it made anew.
dirty(KEYS[3])
local set, details, prefix = KEYS[1], KEYS[2], ARGV[2]
local state, here = standing(set, ARGV[1])
local token, buckets = details_meta(details)
-- After another fill the same bytes may mean something else: numbers stand for other names,
-- and a question that had no row has one.
local same = state == COMPLETE and token and here .. ':' .. token == ARGV[3]
local done = {}
for i = 4, #ARGV, 8 do
  local question, fingerprint = ARGV[i], ARGV[i + 1]
  local field, bucket, at, record, score
  local is_as_seen = false
  if same then
    field = bucket_of(fingerprint, buckets)
    bucket = redis.call('HGET', details, field) or ''
    at = find_record(bucket, fingerprint)
    record = at and string.sub(bucket, at, at + RECORD - 1) or ''
    score = redis.call('ZSCORE', set, question)
    -- The record tells of every write of ours, the score of those that tools make past us.
    is_as_seen = (score or '') == ARGV[i + 2] and record == ARGV[i + 3]
  end
  local corrected = 0
  if is_as_seen then
    local sets, new = sets_of(details, prefix, token), ARGV[i + 4]
    if new == '=' then
      for _, key in ipairs(wrong_sets(sets, question, score, at and record)) do
        redis.call('UNLINK', key)
        corrected = 1
      end
    else
      corrected = 1
      local before = at and string.sub(bucket, 1, at - 1) or bucket
      local after = at and string.sub(bucket, at + RECORD) or ''
      for _, of_subject in ipairs(sets) do
        redis.call('ZREM', of_subject.key, question)
      end
      if new == '' then
        redis.call('ZREM', set, question)
        redis.call('HSET', details, field, before .. after)
      else
        local subject = two_bytes(number_of(details, ARGV[i + 6]))
        local topic = two_bytes(number_of(details, ARGV[i + 7]))
        redis.call('ZADD', set, new, question)
        redis.call('HSET', details, field, before .. fingerprint .. ARGV[i + 5] .. subject .. topic .. after)
        local of_subject = subject_set(details, prefix, token, subject)
        if of_subject then
          redis.call('ZADD', of_subject, new, question)
        end
      end
    end
  end
  done[#done + 1] = corrected
end
return { state, done }
