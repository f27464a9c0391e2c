-- Reads waiting jobs, as far as deciding whose they are takes.
--
-- KEYS hashes of jobs
-- ARGV 1 bytes of data at most  2.. names of the fields
--
-- Rule: reads only. A job that is gone, is no hash, or has more data than any of ours
-- is answered as false: it is not worth its transfer.
-- Result: for each key a list of values, or false.

local answer = {}
for i, key in ipairs(KEYS) do
    local size = redis.pcall('HSTRLEN', key, 'data')
    if type(size) == 'number' and size > 0 and size <= tonumber(ARGV[1]) then
        answer[i] = redis.call('HMGET', key, unpack(ARGV, 2))
    else
        answer[i] = false
    end
end
return answer
