-- Takes out entries whose submissions the journal has.
--
-- KEYS 1 names of entries of the site   2.. of each submission: entries of its student
-- ARGV of each submission: id, attempt of its journal row (hex), name of its key in KEYS 1
--
-- Result: of each 0 if there was no entry, 1 if it was of the row's attempt, 2 if it was
-- of another, which has lost.

local out = {}
for i = 2, #KEYS do
    local at = (i - 2) * 3
    local known = redis.call('HGET', KEYS[i], ARGV[at + 1])
    if not known then
        out[i - 1] = 0
    else
        redis.call('HDEL', KEYS[i], ARGV[at + 1])
        out[i - 1] = string.sub(known, 1, 32) == ARGV[at + 2] and 1 or 2
    end
    if redis.call('EXISTS', KEYS[i]) == 0 then
        redis.call('ZREM', KEYS[1], ARGV[at + 3])
    end
end
return out
