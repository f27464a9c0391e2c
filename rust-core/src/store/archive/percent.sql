-- How far another connection's ALTER is, in percent over all its stages.
-- In: 1 the connection's id.
SELECT 100 * (GREATEST(stage, 1) - 1 + progress / 100) / GREATEST(max_stage, 1)
  FROM information_schema.processlist
 WHERE id = ? AND max_stage > 0
