-- Puts a started job back to the head of its queue.
--
-- KEYS 1 the worker's hash  2 the job's hash  3 list of the queue
--      4 registry of started jobs  5 its runs  6 this run  7 the worker's runs
-- ARGV 1 job id  2 member of the registry of started jobs  3 id of the run
--
-- Rule: only what is still ours; a job that housekeeping or an operator took away is
-- not brought back.
-- Result: 1, or 0 if it was no longer ours.

local ours = redis.call('ZREM', KEYS[4], ARGV[2]) == 1
redis.call('DEL', KEYS[6])
redis.call('ZREM', KEYS[5], ARGV[3])
redis.call('SREM', KEYS[7], ARGV[2])
if redis.call('HGET', KEYS[1], 'current_job') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'current_job')
end
if not ours or redis.call('EXISTS', KEYS[2]) == 0 then
    return 0
end
redis.call('HSET', KEYS[2], 'status', 'queued', 'started_at', '', 'worker_name', '')
redis.call('LPUSH', KEYS[3], ARGV[1])
return 1
