-- Shared by every script that touches a schedule; put before each of them.
--
-- A schedule is a sorted set (member question, score due time) that is believed only if
-- it holds the marker: own .. instance, score +inf. `own` names format and site and is
-- given by the caller; the instance is what the server said over this connection of its
-- process, and what it says here, in the same step as the data, of its data set: so a
-- restart from an old dump, a promotion or a REPLICAOF can never slip in between.
--
-- A companion holds details: a hash with `m` (token of the fill that made it, a colon,
-- the number of buckets), `b<i>` (packed records), `n<i>` (name of a subject or topic),
-- `i<name>` (its number), `c` (how many names) and `s` (subjects with a set of their own).
--
-- A record is RECORD bytes: 8 fingerprint, 4 check of the due time, 7 version,
-- 7 last review, 4 stability, 2 subject, 2 topic; big endian.
local RECORD = 34
-- The run_id of this server, as it said at the beginning of the caller's connection; always
-- the last argument, empty if it did not say.
local RUN = table.remove(ARGV)
local COMPLETE, INCOMPLETE, FOREIGN, REPLICA = 0, 1, 2, 3

-- Hash of what identifies this server's data set; nil on a replica.
local function instance()
  local replication = redis.call('INFO', 'replication')
  if string.match(replication, 'role:(%a+)') ~= 'master' then
    return nil
  end
  local run = RUN
  if run == '' then
    run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  end
  local data = string.match(replication, 'master_replid:(%x+)') or ''
  return string.sub(redis.sha1hex(run .. data), 1, 16)
end

-- The marker of a key that holds only what callers from outside set one by one.
local function partial_marker(own, here)
  return '\0partial' .. string.sub(own, 2) .. here
end

-- Whether `key` may be served: COMPLETE, or why not; and the instance.
local function standing(key, own)
  local here = instance()
  if not here then
    return REPLICA
  end
  if redis.call('ZSCORE', key, own .. here) then
    return COMPLETE, here
  end
  local ours = partial_marker(own, here)
  local head = string.match(own, '^%z[^:]*:')
  -- Markers begin with a zero byte: they come first, however many others are there.
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '+inf', '+inf', 'LIMIT', 0, 4)) do
    local plain = string.gsub(member, '^%zpartial', '\0')
    if member ~= ours and string.sub(plain, 1, #head) == head and string.sub(member, -16) == here then
      return FOREIGN, here
    end
  end
  return INCOMPLETE, here
end

-- The number in the two bytes at `at`.
local function number_at(bytes, at)
  local high, low = string.byte(bytes, at, at + 1)
  return high * 256 + low
end

local function two_bytes(n)
  return struct.pack('>I2', n)
end

-- Token and bucket count of the details; nil when there are none.
local function details_meta(details)
  local meta = redis.call('HGET', details, 'm')
  if not meta then
    return nil
  end
  local token, buckets = string.match(meta, '^(%x+):(%d+)$')
  return token, tonumber(buckets)
end

local function bucket_of(fingerprint, buckets)
  local high, low = string.byte(fingerprint, 1, 2)
  return 'b' .. (high * 256 + low) % buckets
end

-- Position of the record in a bucket; nil when it is not there. Eight bytes that look like a
-- fingerprint may lie within a record, or across two of them.
local function find_record(bucket, fingerprint)
  local from = 1
  while true do
    local at = string.find(bucket, fingerprint, from, true)
    if not at or (at - 1) % RECORD == 0 then
      return at
    end
    from = at + 1
  end
end

local function fingerprint_of(question)
  local hex = redis.sha1hex(question)
  return struct.pack('>I4I4', tonumber(string.sub(hex, 1, 8), 16), tonumber(string.sub(hex, 9, 16), 16))
end

-- The names that these records speak of: number, name, number, name, ...
local function names_of(details, records)
  local seen, fields, out = {}, {}, {}
  for _, record in ipairs(records) do
    if record then
      for at = 31, 33, 2 do
        local n = number_at(record, at)
        if n > 0 and not seen[n] then
          seen[n] = true
          fields[#fields + 1] = 'n' .. n
        end
      end
    end
  end
  if #fields > 0 then
    local names = redis.call('HMGET', details, unpack(fields))
    for i, field in ipairs(fields) do
      out[#out + 1] = string.sub(field, 2)
      out[#out + 1] = names[i] or ''
    end
  end
  return out
end

-- The number of a subject or topic, given to it when first met; 0 for none.
local function number_of(details, name)
  if name == '' then
    return 0
  end
  local known = redis.call('HGET', details, 'i' .. name)
  if known then
    return tonumber(known)
  end
  local n = redis.call('HINCRBY', details, 'c', 1)
  if n > 65535 then
    -- No room: the record is not believed. Two bytes would make 0 of the next, no name.
    return 65535
  end
  local text = string.format('%d', n)
  redis.call('HSET', details, 'i' .. name, text, 'n' .. text, name)
  return n
end

-- The records of these questions; false where there is none.
local function records_of(details, fingerprints)
  local _, buckets = details_meta(details)
  local out = {}
  if not buckets or #fingerprints == 0 then
    for i = 1, #fingerprints do out[i] = false end
    return out
  end
  local fields = {}
  for i, fingerprint in ipairs(fingerprints) do
    fields[i] = bucket_of(fingerprint, buckets)
  end
  local found = redis.call('HMGET', details, unpack(fields))
  for i, fingerprint in ipairs(fingerprints) do
    local at = found[i] and find_record(found[i], fingerprint)
    out[i] = at and string.sub(found[i], at, at + RECORD - 1) or false
  end
  return out
end

-- Every write and removal makes a fill under way read again.
local function dirty(lease)
  if redis.call('EXISTS', lease) == 1 then
    redis.call('HSET', lease, 'd', '1')
  end
end

-- The set of the subject with this number (two bytes), if it has one that belongs to
-- these details.
local function subject_set(details, prefix, token, subject)
  local n = number_at(subject, 1)
  if n == 0 then
    return nil
  end
  local name = redis.call('HGET', details, 'n' .. n)
  local set = prefix .. string.sub(redis.sha1hex(name or ''), 1, 16)
  return redis.call('ZSCORE', set, '\0' .. token) and set or nil
end

-- The subjects' schedules that belong to these details: each with its key and the number
-- of its subject (two bytes; nil if no question has that subject).
local function sets_of(details, prefix, token)
  local sets = {}
  for name in string.gmatch(redis.call('HGET', details, 's') or '', '[^%z]+') do
    local key = prefix .. string.sub(redis.sha1hex(name), 1, 16)
    if redis.call('ZSCORE', key, '\0' .. token) then
      local known = redis.call('HGET', details, 'i' .. name)
      sets[#sets + 1] = { key = key, subject = known and two_bytes(tonumber(known)) }
    end
  end
  return sets
end

-- Keys of the subjects' schedules that are wrong about a question with this score and
-- record. Nothing is said of one without a record: it is looked up.
local function wrong_sets(sets, question, score, record)
  local wrong = {}
  for _, set in ipairs(sets) do
    local there = redis.call('ZSCORE', set.key, question)
    local expected = false
    if score and record and string.sub(record, 31, 32) == set.subject then
      expected = score
    end
    if there ~= expected and (record or not score) then
      wrong[#wrong + 1] = set.key
    end
  end
  return wrong
end
