-- Bytes that a schedule and its companions take, as Redis estimates.
--
-- KEYS  1 schedule, 2 details, further companions
-- Returns the sum; keys that are not there take none.
local bytes = 0
for i = 1, #KEYS do
  bytes = bytes + (redis.call('MEMORY', 'USAGE', KEYS[i]) or 0)
end
return bytes
