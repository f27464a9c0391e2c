-- Takes students off the list of the dirty ones, each unless it was noted again.
--
-- KEYS 1 the site's list         ARGV 1 state, random    2.. student, mark, ...
-- Result: how many went.

local gone = 0
for i = 2, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
        gone = gone + redis.call('HDEL', KEYS[1], ARGV[i])
    end
end
if redis.call('HLEN', KEYS[1]) == 1 then
    redis.call('DEL', KEYS[1])
elseif gone > 0 then
    redis.call('HSET', KEYS[1], '', ARGV[1])
end
return gone
