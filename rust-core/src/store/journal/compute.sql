-- Puts what raw answers led to in their place, once: a row that was computed meanwhile is
-- left as it is, and so is one that an operator dismissed or that is of other answers. The
-- statement locks the row, so two workers come one after the other.
-- Parameters: payload, player, submission_id, attempt, format of raw answers
UPDATE memora_srs_journal
SET payload = ?
WHERE player = ? AND submission_id = ? AND attempt = ? AND applied_at IS NULL
  AND JSON_VALUE(payload, '$.v') = ?
