-- Adds one chunk to a schedule under construction.
--
-- KEYS  1 lease, 2 staging sorted set, 3 key to add to (a sorted set or a hash)
-- ARGV  1 token, 2 time to live (ms), 3 BEGIN, or a command (ZADD, HSET, or ANEW: ZADD to a
--       set that is emptied first), then its arguments
-- Returns 1, or 0 when the lease is no longer ours or the staged part is gone.

-- Whoever has the lease now stages under the same keys: BEGIN would take theirs away.
if redis.call('HGET', KEYS[1], 't') ~= ARGV[1] then
  return 0
end
local mine = '\0t' .. ARGV[1]
if ARGV[3] == 'BEGIN' then
  -- What a fill that died or was dirty has left.
  redis.call('UNLINK', KEYS[2], KEYS[3])
  redis.call('ZADD', KEYS[2], '+inf', mine)
else
  -- Evicted: publish.lua would find out, but only after all the rest.
  if not redis.call('ZSCORE', KEYS[2], mine) then
    return 0
  end
  local command = ARGV[3]
  if command == 'ANEW' then
    -- What an earlier, dirty round staged is not of this reading.
    redis.call('UNLINK', KEYS[3])
    command = 'ZADD'
  end
  redis.call(command, KEYS[3], unpack(ARGV, 4))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return 1
