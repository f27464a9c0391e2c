-- Sets states that are newer than what the schedule holds. On a schedule that is not
-- complete nothing is written: a set that one write made would look like all of it. What
-- a partial key says of these questions is taken out: the fill that takes its members
-- over would put them above a review that was acknowledged since.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       then per state 7: question, fingerprint, score, version, packed (due check,
--       version, last review, stability), subject, topic ('' for none)
-- Returns {standing, states written, size of the largest bucket touched, in records}.
--
-- Numbers are compared by tonumber (exact below 2^53, which microseconds are until the
-- year 2255); what is stored are the caller's strings.
dirty(KEYS[3])
local state, here = standing(KEYS[1], ARGV[1])
if state ~= COMPLETE then
  if state == INCOMPLETE and redis.call('ZSCORE', KEYS[1], partial_marker(ARGV[1], here)) then
    for i = 3, #ARGV, 7 do
      redis.call('ZREM', KEYS[1], ARGV[i])
    end
  end
  return { state, 0, 0 }
end
local set, details = KEYS[1], KEYS[2]
local token, buckets = details_meta(details)
if not token then
  -- Evicted: without versions nothing can be compared, and a guess could undo a newer
  -- review. The table and the journal know everything.
  redis.call('UNLINK', set)
  return { INCOMPLETE, 0, 0 }
end

-- Buckets are read and written once, however many of their questions are set; names and
-- subjects' schedules are looked up once.
local fields, bucket = {}, {}
for i = 3, #ARGV, 7 do
  local field = bucket_of(ARGV[i + 1], buckets)
  if not bucket[field] then
    bucket[field] = ''
    fields[#fields + 1] = field
  end
end
for i, found in ipairs(#fields > 0 and redis.call('HMGET', details, unpack(fields)) or {}) do
  bucket[fields[i]] = found or ''
end
local numbers, sets = {}, {}
local function number_once(name)
  numbers[name] = numbers[name] or two_bytes(number_of(details, name))
  return numbers[name]
end
local function set_once(subject)
  if sets[subject] == nil then
    sets[subject] = subject_set(details, ARGV[2], token, subject) or false
  end
  return sets[subject]
end

local written, largest = 0, 0
-- What this call sets: the same question may come again in it.
local set_scores, scores, is_changed = {}, {}, {}
for i = 3, #ARGV, 7 do
  local question, fingerprint, score = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local version, packed = tonumber(ARGV[i + 3]), ARGV[i + 4]
  local field = bucket_of(fingerprint, buckets)
  local records = bucket[field]
  local at = find_record(records, fingerprint)
  local wins = true
  local subject, topic, left = nil, nil, nil
  if at then
    local old = string.sub(records, at, at + RECORD - 1)
    local old_score = set_scores[question] or redis.call('ZSCORE', set, question)
    if old_score then
      local old_version = number(string.sub(old, 13, 19))
      local due, old_due = tonumber(score), tonumber(old_score)
      if version ~= old_version then
        wins = version > old_version
      elseif due ~= old_due then
        wins = due > old_due
      else
        wins = number(string.sub(packed, 19, 22)) > number(string.sub(old, 27, 30))
      end
    end
    -- A state without subject and topic keeps those on record, as in the table.
    if ARGV[i + 5] == '' then subject = string.sub(old, 31, 32) end
    if ARGV[i + 6] == '' then topic = string.sub(old, 33, 34) end
  end
  if wins then
    subject = subject or number_once(ARGV[i + 5])
    topic = topic or number_once(ARGV[i + 6])
    local record = fingerprint .. packed .. subject .. topic
    if at then
      local old_subject = string.sub(records, at + 30, at + 31)
      left = old_subject ~= subject and set_once(old_subject)
      records = string.sub(records, 1, at - 1) .. record .. string.sub(records, at + RECORD)
    else
      records = records .. record
    end
    bucket[field] = records
    is_changed[field] = true
    set_scores[question] = score
    scores[#scores + 1] = score
    scores[#scores + 1] = question
    written = written + 1
    if left then
      redis.call('ZREM', left, question)
    end
    local of_subject = set_once(subject)
    if of_subject then
      redis.call('ZADD', of_subject, score, question)
    end
  end
  largest = math.max(largest, #records / RECORD)
end
if written > 0 then
  local changes = {}
  for field in pairs(is_changed) do
    changes[#changes + 1] = field
    changes[#changes + 1] = bucket[field]
  end
  redis.call('ZADD', set, unpack(scores))
  redis.call('HSET', details, unpack(changes))
end
return { COMPLETE, written, largest }
