-- Puts a job back to the head of its queue that a worker took and never began: RQ's workers
-- move a job to the intermediate queue first, and may die before they start it.
--
-- KEYS 1 the intermediate queue  2 the job's hash  3 list of the queue
--      4 when the job was first seen there
-- ARGV 1 job id  2 now, seconds with fraction  3 "ours" or ""
--
-- Rule: as RQ's own housekeeping, after a minute; but RQ fails such a job, and ours may just
-- as well be run. One that is gone is forgotten; one that is not ours is for workers in
-- Python.
-- Result: 1 if it waits again.

local status = redis.call('HGET', KEYS[2], 'status')
if not status then
    redis.call('LREM', KEYS[1], 1, ARGV[1])
    return 0
end
if ARGV[3] ~= 'ours' or status ~= 'queued' then
    return 0
end
if redis.call('SET', KEYS[4], ARGV[2], 'NX', 'EX', 86400) then
    return 0
end
local seen = tonumber(redis.call('GET', KEYS[4])) or 0
if tonumber(ARGV[2]) - seen <= 60 then
    return 0
end
redis.call('DEL', KEYS[4])
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then
    return 0
end
redis.call('LPUSH', KEYS[3], ARGV[1])
return 1
