-- Notes that a student's schedule in the cache may lack something.
--
-- KEYS 1 the site's list of dirty students, a hash: student -> mark; '' -> state of the list
-- ARGV 1 student                 2 mark, random: whoever made it good removes this one only
--      3 state, random           4 students at most; '*' stands for everybody beyond that
--      5 time to live (ms)
--
-- Rule: every change gives the list another state, so that who looks each second asks for
-- one field as long as nothing changes.
-- Result: 1.

local student = ARGV[1]
if redis.call('HEXISTS', KEYS[1], student) == 0
    and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
    student = '*'
end
redis.call('HSET', KEYS[1], student, ARGV[2], '', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
