-- Takes waiting jobs: out of the queue, into the registry of started jobs.
--
-- KEYS 1 list of the queue  2 registry of started jobs  3 the worker's hash
--      4 the worker's runs
--      then for each job: 1 its hash  2 jobs that wait for it  3 its runs  4 this run
-- ARGV 1 worker's name  2 now, seconds with fraction  3 now as RQ writes times
--      4 "1" if no runs are kept, "2" those of jobs, "3" those of workers too
--      then for each job: 1 its id  2 member of the registry  3 its score
--      4 id of the run  5 seconds to keep it  6 its score among the job's runs
--      7 seconds to keep those
--
-- Rule: who removes the id from the list has the job. A job that others wait for is
-- left: starting those is the business of RQ's own workers.
-- Result: ids of the jobs that are ours now.

local runs, workers_runs = ARGV[4] ~= '1', ARGV[4] == '3'
local taken = {}
for i = 0, (#KEYS - 4) / 4 - 1 do
    local job, dependents, executions, execution = unpack(KEYS, i * 4 + 5, i * 4 + 8)
    local id, member, score, run, ttl, runs_score, runs_ttl = unpack(ARGV, i * 7 + 5, i * 7 + 11)
    if redis.call('EXISTS', job) == 1
        and redis.call('EXISTS', dependents) == 0
        and redis.call('LREM', KEYS[1], 1, id) == 1
    then
        redis.call('HSET', job, 'status', 'started', 'started_at', ARGV[3],
            'last_heartbeat', ARGV[3], 'worker_name', ARGV[1])
        redis.call('PERSIST', job)
        redis.call('ZADD', KEYS[2], score, member)
        if runs then
            redis.call('HSET', execution, 'id', run, 'created_at', ARGV[2],
                'last_heartbeat', ARGV[2])
            redis.call('EXPIRE', execution, ttl)
            redis.call('ZADD', executions, runs_score, run)
            redis.call('EXPIRE', executions, runs_ttl)
        end
        if workers_runs then
            redis.call('HSET', execution, 'job_id', id, 'worker_name', ARGV[1])
            redis.call('SADD', KEYS[4], member)
            redis.call('EXPIRE', KEYS[4], runs_ttl)
        end
        taken[#taken + 1] = id
    end
end
if #taken > 0 and redis.call('EXISTS', KEYS[3]) == 1 then
    redis.call('HSET', KEYS[3], 'state', 'busy', 'current_job', taken[1],
        'current_job_working_time', '0')
end
return taken
