-- Finishes started jobs, all with success.
--
-- KEYS 1 the worker's hash  2 the worker's runs
--      then for each job: 1 its hash  2 its results  3 registry of started jobs
--      4 of finished jobs  5 of failed jobs  6 its runs  7 this run
-- ARGV 1 worker's name  2 now as RQ writes times  3 "1" if no runs are kept
--      4 seconds worked on all of them
--      then for each job: 1 its id  2 member of the registry of started jobs
--      3 id of the run  4 seconds to keep the result: 0 not at all, < 0 for good
--      5 score among finished jobs  6 the result: base64 of a pickle
--
-- Rule: what RQ's worker does in one transaction. A job whose hash is gone was deleted
-- by an operator and stays so.
-- Result: how many jobs were finished.

local runs = ARGV[3] ~= '1'
local done = 0
for i = 0, (#KEYS - 2) / 7 - 1 do
    local job, results, started, finished, failed, executions, execution =
        unpack(KEYS, i * 7 + 3, i * 7 + 9)
    local id, member, run, ttl, score, result = unpack(ARGV, i * 6 + 5, i * 6 + 10)
    redis.call('ZREM', started, member)
    -- Housekeeping may have given us up.
    redis.call('ZREM', failed, id)
    if runs then
        redis.call('DEL', execution)
        redis.call('ZREM', executions, run)
        redis.call('SREM', KEYS[2], member)
    end
    if redis.call('EXISTS', job) == 1 then
        done = done + 1
        local keep = tonumber(ttl)
        if keep == 0 then
            redis.call('DEL', job, results)
        else
            redis.call('HSET', job, 'status', 'finished', 'ended_at', ARGV[2],
                'last_heartbeat', ARGV[2], 'worker_name', ARGV[1])
            if runs then
                redis.call('XADD', results, 'MAXLEN', '~', '10', '*', 'type', '1',
                    'worker_name', ARGV[1], 'return_value', result)
            else
                redis.call('XADD', results, 'MAXLEN', '~', '10', '*', 'type', '1',
                    'return_value', result)
            end
            redis.call('ZADD', finished, score, id)
            if keep > 0 then
                redis.call('EXPIRE', job, ttl)
                redis.call('EXPIRE', results, ttl)
            else
                redis.call('PERSIST', results)
            end
        end
    end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HDEL', KEYS[1], 'current_job')
    redis.call('HINCRBY', KEYS[1], 'successful_job_count', done)
    redis.call('HINCRBYFLOAT', KEYS[1], 'total_working_time', ARGV[4])
end
return done
