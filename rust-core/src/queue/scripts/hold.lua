-- Says that started jobs are still worked on.
--
-- KEYS for each job: 1 its hash  2 registry of started jobs  3 its runs  4 this run
-- ARGV 1 now, seconds with fraction  2 now as RQ writes times  3 "1" if no runs are kept
--      then for each job: 1 member of the registry  2 its new score
--      3 id of the run  4 seconds to keep it  5 its score among the job's runs
--      6 seconds to keep those
--
-- Rule: only for jobs that are still in the registry; what was taken away from us is
-- not brought back, and no hash is made anew.

local runs = ARGV[3] ~= '1'
for i = 0, #KEYS / 4 - 1 do
    local job, started, executions, execution = unpack(KEYS, i * 4 + 1, i * 4 + 4)
    local member, score, id, ttl, runs_score, runs_ttl = unpack(ARGV, i * 6 + 4, i * 6 + 9)
    if redis.call('ZSCORE', started, member) and redis.call('EXISTS', job) == 1 then
        redis.call('ZADD', started, 'XX', score, member)
        redis.call('HSET', job, 'last_heartbeat', ARGV[2])
        if runs then
            redis.call('HSET', execution, 'id', id, 'last_heartbeat', ARGV[1])
            redis.call('HSETNX', execution, 'created_at', ARGV[1])
            redis.call('EXPIRE', execution, ttl)
            redis.call('ZADD', executions, runs_score, id)
            redis.call('EXPIRE', executions, runs_ttl)
        end
    end
end
return redis.status_reply('OK')
