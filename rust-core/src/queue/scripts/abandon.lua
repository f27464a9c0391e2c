-- Gives up a started job whose worker died, or forgets one that is gone.
--
-- KEYS 1 registry of started jobs  2 the job's hash  3 its results  4 registry of failed jobs
--      5 its runs  6 this run
-- ARGV 1 now, whole seconds  2 now as RQ writes times  3 "1" if no runs are kept
--      4 job id  5 member of the registry  6 id of the run  7 "ours" or ""
--      8 seconds to keep the job, < 0 for good  9 score among failed jobs
--      10 what is said about it: base64 of zlib of text
--
-- Rule: only a member whose time is over, so that a heartbeat in between saves the job. As
-- RQ's own housekeeping; but a job that ended, whose entry was left behind, stays as it
-- ended (RQ 3 does the same). A job that is not ours is for workers in Python, unless its
-- hash is gone.
-- Result: 1 if the job failed by this.

local score = redis.call('ZSCORE', KEYS[1], ARGV[5])
if not score or tonumber(score) > tonumber(ARGV[1]) then
    return 0
end
local status = redis.call('HGET', KEYS[2], 'status')
if status and ARGV[7] ~= 'ours' then
    return 0
end
redis.call('ZREM', KEYS[1], ARGV[5])
if ARGV[3] ~= '1' then
    redis.call('DEL', KEYS[6])
    redis.call('ZREM', KEYS[5], ARGV[6])
end
if status ~= 'started' then
    return 0
end
redis.call('HSET', KEYS[2], 'status', 'failed', 'ended_at', ARGV[2], 'worker_name', '')
if ARGV[3] ~= '1' then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10', '*', 'type', '2',
        'worker_name', '', 'exc_string', ARGV[10])
else
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10', '*', 'type', '2',
        'exc_string', ARGV[10])
end
if tonumber(ARGV[8]) >= 0 then
    redis.call('EXPIRE', KEYS[2], ARGV[8])
    redis.call('EXPIRE', KEYS[3], ARGV[8])
end
redis.call('ZADD', KEYS[4], ARGV[9], ARGV[4])
return 1
