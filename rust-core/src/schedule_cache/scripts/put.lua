-- Sets when questions are due, for callers who know no more than that.
--
-- KEYS  1 schedule, 2 details, 3 lease
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       3 time to live of a key that this call makes (ms),
--       then per question 4: question, fingerprint, score, due check (4 bytes)
-- Returns {standing, {question, ...}}: on a COMPLETE schedule the questions that have no
-- record, which were left alone; what to say of them only the table knows.
--
-- On a complete schedule the record keeps what it says and gets the new due time, under
-- the next version: whoever is behind with an older review changes nothing, while one
-- that is on its way, computed a moment ago, still shows. Any other key becomes a partial one: these
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
  local scores = {}
  for i = 4, #ARGV, 4 do
    scores[#scores + 1] = ARGV[i + 2]
    scores[#scores + 1] = ARGV[i]
  end
  if #scores > 0 then
    redis.call('ZADD', set, unpack(scores))
  end
  return { INCOMPLETE, {} }
end

-- Buckets are read and written once, however many of their questions are set.
local asked, fields = {}, {}
for i = 4, #ARGV, 4 do
  local field = bucket_of(ARGV[i + 1], buckets)
  if not asked[field] then
    asked[field] = true
    fields[#fields + 1] = field
  end
end
local bucket = {}
for i, found in ipairs(#fields > 0 and redis.call('HMGET', details, unpack(fields)) or {}) do
  bucket[fields[i]] = found or ''
end

local unknown, scores, of_subjects, changes = {}, {}, {}, {}
for i = 4, #ARGV, 4 do
  local question, fingerprint, score = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local field = bucket_of(fingerprint, buckets)
  local records = bucket[field]
  local at = find_record(records, fingerprint)
  if not at or not redis.call('ZSCORE', set, question) then
    unknown[#unknown + 1] = question
  else
    local version = struct.pack('>I7', struct.unpack('>I7', records, at + 12) + 1)
    changes[field] = changes[field] or {}
    -- A question that comes twice: the last one counts.
    changes[field][at] = ARGV[i + 3] .. version
    scores[#scores + 1] = score
    scores[#scores + 1] = question
    local subject = string.sub(records, at + 30, at + 31)
    local of_subject = of_subjects[subject]
    if not of_subject then
      of_subject = { key = subject_set(details, ARGV[2], token, subject) }
      of_subjects[subject] = of_subject
    end
    of_subject[#of_subject + 1] = score
    of_subject[#of_subject + 1] = question
  end
end
if #scores > 0 then
  local written = {}
  for field, of_bucket in pairs(changes) do
    local places = {}
    for at in pairs(of_bucket) do
      places[#places + 1] = at
    end
    table.sort(places)
    local records, pieces, from = bucket[field], {}, 1
    for _, at in ipairs(places) do
      pieces[#pieces + 1] = string.sub(records, from, at + 7)
      pieces[#pieces + 1] = of_bucket[at]
      from = at + 19
    end
    pieces[#pieces + 1] = string.sub(records, from)
    written[#written + 1] = field
    written[#written + 1] = table.concat(pieces)
  end
  redis.call('HSET', details, unpack(written))
  redis.call('ZADD', set, unpack(scores))
  for _, of_subject in pairs(of_subjects) do
    if of_subject.key then
      redis.call('ZADD', of_subject.key, unpack(of_subject))
    end
  end
end
return { COMPLETE, unknown }
