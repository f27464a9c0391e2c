-- Fails a started job.
--
-- KEYS 1 the worker's hash  2 the job's hash  3 its results  4 registry of started jobs
--      5 of failed jobs  6 its runs  7 this run  8 the worker's runs
-- ARGV 1 worker's name  2 now as RQ writes times  3 "1" if no runs are kept
--      4 seconds worked  5 job id  6 member of the registry of started jobs
--      7 id of the run  8 seconds to keep the job, < 0 for good
--      9 score among failed jobs  10 what went wrong: base64 of zlib of text
--      11 failed jobs kept in this queue  12 "failed", or "stopped" by an operator
--
-- Rule: what RQ's worker does in one transaction, and what Frappe's failure callback
-- does after it: of more failed jobs than are kept the oldest go, 100 at a time.
-- Result: 1, or 0 if the job's hash is gone.

local runs = ARGV[3] ~= '1'
redis.call('ZREM', KEYS[4], ARGV[6])
if runs then
    redis.call('DEL', KEYS[7])
    redis.call('ZREM', KEYS[6], ARGV[7])
    redis.call('SREM', KEYS[8], ARGV[6])
end
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HDEL', KEYS[1], 'current_job')
    redis.call('HINCRBY', KEYS[1], 'failed_job_count', 1)
    redis.call('HINCRBYFLOAT', KEYS[1], 'total_working_time', ARGV[4])
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    return 0
end
redis.call('HSET', KEYS[2], 'status', ARGV[12], 'ended_at', ARGV[2],
    'last_heartbeat', ARGV[2], 'worker_name', ARGV[1])
if runs then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10', '*', 'type', '2',
        'worker_name', ARGV[1], 'exc_string', ARGV[10])
else
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10', '*', 'type', '2',
        'exc_string', ARGV[10])
end
if tonumber(ARGV[8]) >= 0 then
    redis.call('EXPIRE', KEYS[2], ARGV[8])
    redis.call('EXPIRE', KEYS[3], ARGV[8])
end
redis.call('ZADD', KEYS[5], ARGV[9], ARGV[5])
local excess = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[11])
if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, math.min(excess, 100) - 1)) do
        redis.call('DEL', 'rq:job:' .. id, 'rq:results:' .. id)
        redis.call('ZREM', KEYS[5], id)
    end
end
return 1
