-- Sets states that are newer than what the schedule holds. On a schedule that is not
-- complete nothing is written: a set that one write made would look like all of it. What
-- a partial key says of these questions is taken out: the fill that takes its members
-- over would put them above a review that was acknowledged since.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       then per state 5: question, the first 30 bytes of its record (from the fingerprint to
--       the stability), score, subject, topic ('' for none)
-- Returns {standing, states written, size of the largest bucket touched, in records}.
--
-- Versions are compared as numbers (exact below 2^53, which microseconds are until the
-- year 2255); what is stored are the caller's bytes. A bucket is taken apart by position: each
-- string that becomes Lua's is hashed byte by byte.
local STATE = 5
dirty(KEYS[3])
local state, here = standing(KEYS[1], ARGV[1])
if state ~= COMPLETE then
  if state == INCOMPLETE and redis.call('ZSCORE', KEYS[1], partial_marker(ARGV[1], here)) then
    for i = 3, #ARGV, STATE do
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
local fields, field_of, bucket = {}, {}, {}
for i = 3, #ARGV, STATE do
  local field = bucket_of(ARGV[i + 1], buckets)
  field_of[i] = field
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

-- What this call sets: the same question may come again in it.
local set_scores, scores, is_changed = {}, {}, {}

-- Whether a state beats the one whose record is at `at`. Asks for the due time only if the
-- version does not tell; a question that is in no schedule any more has nothing to defend.
local function beats(question, head, score, records, at)
  local version, old_version = struct.unpack('>I7', head, 13), struct.unpack('>I7', records, at + 12)
  if version > old_version then
    return true
  end
  local old_score = set_scores[question] or redis.call('ZSCORE', set, question)
  if not old_score then
    return true
  end
  if version < old_version then
    return false
  end
  local due, old_due = tonumber(score), tonumber(old_score)
  if due ~= old_due then
    return due > old_due
  end
  return struct.unpack('>I4', head, 27) > struct.unpack('>I4', records, at + 26)
end

local written, largest = 0, 0
for i = 3, #ARGV, STATE do
  local question, head, score = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local field = field_of[i]
  local records = bucket[field]
  local at = find_record(records, string.sub(head, 1, 8))
  if not at or beats(question, head, score, records, at) then
    local old_subject = at and string.sub(records, at + 30, at + 31)
    -- A state without subject and topic keeps those on record, as in the table.
    local subject, topic = ARGV[i + 3], ARGV[i + 4]
    subject = at and subject == '' and old_subject or number_once(subject)
    topic = at and topic == '' and string.sub(records, at + 32, at + 33) or number_once(topic)
    if at then
      records = string.sub(records, 1, at - 1) .. head .. subject .. topic .. string.sub(records, at + RECORD)
    else
      records = records .. head .. subject .. topic
    end
    bucket[field] = records
    is_changed[field] = true
    set_scores[question] = score
    written = written + 1
    scores[2 * written - 1], scores[2 * written] = score, question
    local left = at and old_subject ~= subject and set_once(old_subject)
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
