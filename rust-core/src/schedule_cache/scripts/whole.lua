-- All members of a complete schedule in one reply, if it is not too long.
--
-- KEYS  1 schedule
-- ARGV  1 own part of the marker, 2 members at most
-- Returns {standing, members, all}, the marker among them: `all` is the value as DUMP has
-- it, or {member, score, ...}; {standing, members} if there are more; {standing} if it is
-- not complete.
--
-- DUMP copies the set as it lies in memory. ZRANGE writes each score as text, which for
-- 1,000 members takes Redis five times as long, and the caller a reply of 2,000 parts. A
-- set of up to 128 members is of another type (zset-max-listpack-entries); so is that of a
-- server that has other types; and some may not be asked for it.
local set = KEYS[1]
local state = standing(set, ARGV[1])
if state ~= COMPLETE then
  return { state }
end
local members = redis.call('ZCARD', set)
if members > tonumber(ARGV[2]) then
  return { state, members }
end
if members > 128 then
  local dump = redis.pcall('DUMP', set)
  if type(dump) == 'string' and string.byte(dump) == 5 then
    return { state, members, dump }
  end
end
return { state, members, redis.call('ZRANGE', set, 0, -1, 'WITHSCORES') }
