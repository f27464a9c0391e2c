-- Puts a submission's job into the queue, at most once a submission; or another job.
--
-- KEYS 1 token of the submission   2 rq:queues
--      3 list of the queue wanted  4 list of the queue to use if nobody serves that
--      5 the job's hash            6 our waiting jobs in a queue that is not ours
-- ARGV 1 attempt, hex              2 seconds that the token stays
--      3 "past": queue again, whoever holds the token; "plain": no submission, so there
--        is no token; else ""
--      4 job id
--      5 name of the queue wanted  6 its timeout  7 its bound of waiting jobs, or ""
--      8 name of the other queue, or "" if the first is certain
--      9 its timeout              10 its bound, or ""
--     11 now, seconds             12.. field, value, ... of the job's hash
--
-- Rule: the token decides (SET NX); only who gets it queues. Queueing again ("past")
-- overwrites the token and does nothing else while the job waits or runs. A "plain" job
-- is queued unless it waits or runs.
-- Result: {attempt that holds the token, "queued" | "lost" | "held" | "there"}.
-- Numbers are passed on as the strings that came.

local attempt = ARGV[1]

if ARGV[3] == 'past' or ARGV[3] == 'plain' then
    if ARGV[3] == 'past' then
        redis.call('SET', KEYS[1], attempt, 'EX', ARGV[2])
    end
    local status = redis.call('HGET', KEYS[5], 'status')
    if status == 'queued' or status == 'started' then
        return { attempt, 'there' }
    end
elseif not redis.call('SET', KEYS[1], attempt, 'NX', 'EX', ARGV[2]) then
    return { redis.call('GET', KEYS[1]), 'lost' }
end

-- A queue counts as served once anything was ever put into it; a worker that is merely
-- down does not change that.
local list, name, timeout, bound = KEYS[3], ARGV[5], ARGV[6], ARGV[7]
if ARGV[8] ~= '' and redis.call('SISMEMBER', KEYS[2], list) == 0 then
    list, name, timeout, bound = KEYS[4], ARGV[8], ARGV[9], ARGV[10]
end

if bound ~= '' then
    if redis.call('ZCARD', KEYS[6]) >= tonumber(bound) then
        -- Forget those that wait no more, looking at the oldest 128 only.
        for _, id in ipairs(redis.call('ZRANGE', KEYS[6], 0, 127)) do
            if redis.call('HGET', 'rq:job:' .. id, 'status') ~= 'queued' then
                redis.call('ZREM', KEYS[6], id)
            end
        end
        if redis.call('ZCARD', KEYS[6]) >= tonumber(bound) then
            return { attempt, 'held' }
        end
    end
    redis.call('ZADD', KEYS[6], ARGV[11], ARGV[4])
end

redis.call('SADD', KEYS[2], list)
-- What an earlier run of the job left behind.
redis.call('DEL', KEYS[5])
redis.call('ZREM', 'rq:failed:' .. name, ARGV[4])
redis.call('ZREM', 'rq:finished:' .. name, ARGV[4])
redis.call('HSET', KEYS[5], 'origin', name, 'timeout', timeout, unpack(ARGV, 12))
redis.call('RPUSH', list, ARGV[4])
return { attempt, 'queued' }
