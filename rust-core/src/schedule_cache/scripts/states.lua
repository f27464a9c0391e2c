-- What is known of these questions.
--
-- KEYS  1 schedule, 2 details
-- ARGV  1 own part of the marker, then pairs: question, fingerprint
-- Returns {standing} unless COMPLETE, else
--   {0, number of questions in the schedule, {score or false, ...}, {record or false, ...},
--    {number, name, ...}}
local state = standing(KEYS[1], ARGV[1])
if state ~= COMPLETE then
  return { state }
end
local scores, fingerprints = {}, {}
for i = 2, #ARGV, 2 do
  scores[#scores + 1] = redis.call('ZSCORE', KEYS[1], ARGV[i])
  fingerprints[#fingerprints + 1] = ARGV[i + 1]
end
local records = records_of(KEYS[2], fingerprints)
local questions = redis.call('ZCARD', KEYS[1]) - 1
return { COMPLETE, questions, scores, records, names_of(KEYS[2], records) }
