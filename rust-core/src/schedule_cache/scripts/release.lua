-- Gives up a lease and what was staged under it.
--
-- KEYS  1 lease, 2 staged schedule, 3 staged details, further staged keys
-- ARGV  1 token
if redis.call('HGET', KEYS[1], 't') == ARGV[1] then
  redis.call('UNLINK', unpack(KEYS))
end
return 0
