-- Keeps a submission that the journal does not have yet, for all who read.
--
-- KEYS 1 token of the submission   2 entries of its student and season: id -> entry
--      3 names of entries of the site, by when the first came
-- ARGV 1 attempt, hex   2 submission id   3 entry: the attempt and the submission
--      4 name of KEYS 2 in KEYS 3         5 seconds that entries stay
--      6 now, seconds
--
-- Rule: only the attempt that holds the token is kept; there is one entry a submission.
-- Result: {attempt that holds the token or "", entry that is there now or ""}.

local holder = redis.call('GET', KEYS[1]) or ''
local known = redis.call('HGET', KEYS[2], ARGV[2])
if holder ~= ARGV[1] or known then
    return { holder, known or '' }
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
local since = redis.call('ZSCORE', KEYS[3], ARGV[4]) or ARGV[6]
redis.call('ZADD', KEYS[3], since, ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return { holder, ARGV[3] }
