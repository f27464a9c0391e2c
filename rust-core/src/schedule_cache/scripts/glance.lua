-- What a schedule holds by id and due time alone, complete or partial.
--
-- KEYS  1 schedule
-- ARGV  1 own part of the marker, 2 now (score), 3 ids at most
-- Returns {standing, questions, questions due, {id, ...} most overdue first}; a key that
-- is neither complete nor partial holds nothing.
local set = KEYS[1]
local state, here = standing(set, ARGV[1])
if state == FOREIGN or state == REPLICA then
  return { state }
end
if state == INCOMPLETE and not redis.call('ZSCORE', set, partial_marker(ARGV[1], here)) then
  return { state, 0, 0, {} }
end
local ids = {}
if tonumber(ARGV[3]) > 0 then
  ids = redis.call('ZRANGEBYSCORE', set, '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
end
return { state, redis.call('ZCARD', set) - 1, redis.call('ZCOUNT', set, '-inf', ARGV[2]), ids }
