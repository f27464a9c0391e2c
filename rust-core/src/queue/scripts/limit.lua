-- Lets a read in while the cache is away, counted for all hosts, or says how long to wait.
--
-- KEYS 1 reads of all together in this minute   2 exists while the student must wait
-- ARGV 1 most of all together                   2 milliseconds that a student waits, 0 for none
--      3 now, milliseconds: only kept, for who asks when the student last read
--
-- Rule: the clock is Redis', by keys that expire. A minute begins with its first read; only
-- reads that are let in count. All together come first: then no student is held back by a
-- read that was not let in.
-- Result: {"in", 0} | {"all" | "student", milliseconds to wait}.

local function left(key, most)
    local ms = redis.call('PTTL', key)
    if ms < 0 or ms > tonumber(most) then
        -- Made by other hands, or before the site's limits were changed.
        redis.call('PEXPIRE', key, most)
        return tonumber(most)
    end
    return ms
end

if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then
    return { 'all', left(KEYS[1], '60000') }
end
if ARGV[2] ~= '0' and not redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2], 'NX') then
    return { 'student', left(KEYS[2], ARGV[2]) }
end
if redis.call('INCR', KEYS[1]) == 1 then
    redis.call('PEXPIRE', KEYS[1], '60000')
end
return { 'in', 0 }
