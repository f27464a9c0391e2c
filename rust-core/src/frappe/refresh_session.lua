-- Extends a session in Frappe's cache, if it still is what was read.
--
-- KEYS  1 <db>|session                     hash, session id -> pickle
--       2 <db>|last_db_session_update      hash, session id -> pickled time
--       3 <db>|document_cache::User::<user>
-- ARGV  1 session id
--       2 the pickle as it was read
--       3 the same pickle with the new time
--       4 the new time, pickled
-- Result 1 if extended, 0 if the session is gone (logged out, evicted) or was changed.
--
-- The cached User goes in any case: its last_active was changed in the table.
redis.call('DEL', KEYS[3])
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return 1
