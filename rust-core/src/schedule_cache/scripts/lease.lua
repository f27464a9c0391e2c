-- Takes the lease on filling one student's schedule, unless somebody has it.
--
-- KEYS  1 lease, 2 details
-- ARGV  1 token, 2 time to live (ms)
-- Returns {0 taken, 1 held by somebody, 3 this server is a replica; and when taken, the
--         subjects that the present details were published with, as they were given}.
--
-- The lease names the server's data set: one that came back from a dump belongs to a
-- past in which later writes could not make it dirty.
local here = instance()
if not here then
  return { REPLICA }
end
if redis.call('HGET', KEYS[1], 'i') == here then
  return { 1 }
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 't', ARGV[1], 'i', here)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 0, redis.call('HGET', KEYS[2], 's') or '' }
