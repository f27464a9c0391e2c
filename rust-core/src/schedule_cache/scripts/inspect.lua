-- What a schedule holds of these questions, everywhere: for comparing it with the table.
--
-- KEYS  1 schedule, 2 details
-- ARGV  1 own part of the marker, 2 key of a subject's schedule without its hash,
--       then pairs: question, fingerprint
-- Returns {standing} unless COMPLETE, else
--   {0, generation, {score or false, ...}, {record or false, ...}, {number, name, ...},
--    {place of a question in this list that a subject's schedule has wrong, ...}}
-- The generation is another after each fill and on each server: what mends a schedule says
-- of which one it speaks. Without details nobody is served from a schedule: INCOMPLETE.
local state, here = standing(KEYS[1], ARGV[1])
local token = details_meta(KEYS[2])
if state ~= COMPLETE or not token then
  return { state == COMPLETE and INCOMPLETE or state }
end
local scores, fingerprints = {}, {}
for i = 3, #ARGV, 2 do
  scores[#scores + 1] = redis.call('ZSCORE', KEYS[1], ARGV[i])
  fingerprints[#fingerprints + 1] = ARGV[i + 1]
end
local records = records_of(KEYS[2], fingerprints)
local sets, wrong = sets_of(KEYS[2], ARGV[2], token), {}
for i = 1, #scores do
  if #wrong_sets(sets, ARGV[1 + 2 * i], scores[i], records[i]) > 0 then
    wrong[#wrong + 1] = i
  end
end
return { COMPLETE, here .. ':' .. token, scores, records, names_of(KEYS[2], records), wrong }
