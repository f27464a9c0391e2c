-- Who tells administrators that the cache is away, or back again: one host, once.
--
-- KEYS 1 the outage under way: a hash   2 when the last outage ended that was told
-- ARGV 1 "begin" | "begin_told" | "end" | "end_told"   2 the host
--      3 milliseconds since the host noticed the outage
--
-- Rule: the clock is Redis', hosts say how long ago something was. An outage lasts as long
-- as any host is cut off: one that has said nothing for ten minutes is not. Who is to tell
-- has half a minute to say that it is done; then another host may. Outages that overlap
-- one whose end was told are that one.
-- Result: "tell", when the first host noticed, and now: milliseconds since 1970; or "told",
-- "wait" (another host is about to tell), "others" (other hosts are cut off still).

local DAY, STALE, CLAIM = '86400000', 600000, 30000

local function text(number)
    return string.format('%.0f', number)
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local step, host = ARGV[1], ARGV[2]

if step == 'begin_told' then
    redis.call('HSET', KEYS[1], 'begin_told', '1')
    return { 'told' }
elseif step == 'end_told' then
    redis.call('SET', KEYS[2], text(now), 'PX', DAY)
    redis.call('DEL', KEYS[1])
    return { 'told' }
end

local began = now - tonumber(ARGV[3])
if step == 'end' then
    redis.call('HDEL', KEYS[1], 'host:' .. host)
end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= began then
    return { 'told' }
end
redis.call('HSETNX', KEYS[1], 'since', text(began))
redis.call('PEXPIRE', KEYS[1], DAY)
if step == 'begin' then
    redis.call('HSET', KEYS[1], 'host:' .. host, text(now))
    if redis.call('HEXISTS', KEYS[1], 'begin_told') == 1 then
        return { 'told' }
    end
else
    local fields = redis.call('HGETALL', KEYS[1])
    for i = 1, #fields, 2 do
        if fields[i]:sub(1, 5) == 'host:' and now - tonumber(fields[i + 1]) < STALE then
            return { 'others' }
        end
    end
end

local by, at = step .. '_claimed_by', step .. '_claimed_at'
local claimed = tonumber(redis.call('HGET', KEYS[1], at) or '0')
if now - claimed < CLAIM and redis.call('HGET', KEYS[1], by) ~= host then
    return { 'wait' }
end
redis.call('HSET', KEYS[1], by, host, at, text(now))
return { 'tell', redis.call('HGET', KEYS[1], 'since'), text(now) }
