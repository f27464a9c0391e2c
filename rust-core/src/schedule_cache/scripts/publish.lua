-- Puts a staged schedule in place of whatever is there, in one step.
--
-- KEYS  1 lease, 2 schedule, 3 details, 4 staged schedule, 5 staged details,
--       then pairs: a subject's schedule, its staged one
-- ARGV  1 token, 2 own part of the marker, 3 time to live (ms), 4 members staged,
--       5 fields staged
-- Returns 0 published; 1 lost (lease or staged keys are no longer ours, or incomplete);
--         2 dirty: a write came meanwhile, read again (the lease stays ours);
--         3 this server is a replica.
--
-- The old keys are UNLINKed first: RENAME alone frees them at once, which takes 12 ms
-- for 100,000 members.
local here = instance()
if not here then
  return REPLICA
end
local lease = KEYS[1]
if redis.call('HGET', lease, 't') ~= ARGV[1] or redis.call('HGET', lease, 'i') ~= here then
  return 1
end
if redis.call('HGET', lease, 'd') then
  redis.call('HDEL', lease, 'd')
  return 2
end
local mine = '\0t' .. ARGV[1]
if not redis.call('ZSCORE', KEYS[4], mine)
  or redis.call('ZCARD', KEYS[4]) ~= tonumber(ARGV[4]) + 1
  or redis.call('HLEN', KEYS[5]) ~= tonumber(ARGV[5]) then
  return 1
end
for i = 7, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    return 1
  end
end
redis.call('ZREM', KEYS[4], mine)
redis.call('ZADD', KEYS[4], '+inf', ARGV[2] .. here)
local function replace(place, staged)
  redis.call('UNLINK', place)
  redis.call('RENAME', staged, place)
  redis.call('PEXPIRE', place, ARGV[3])
end
for i = 6, #KEYS, 2 do
  replace(KEYS[i], KEYS[i + 1])
end
replace(KEYS[2], KEYS[4])
replace(KEYS[3], KEYS[5])
redis.call('UNLINK', lease)
return 0
