-- The list of dirty students.
--
-- KEYS 1 the site's list         ARGV 1 students at most
-- Result: {student, mark, ...} with the list's state under '', or, of a longer list, that
-- state and '*' alone: who reads it takes everybody for dirty.

if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) + 1 then
    return { '', redis.call('HGET', KEYS[1], '') or '', '*', '' }
end
return redis.call('HGETALL', KEYS[1])
