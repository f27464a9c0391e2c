-- An operator has a row tried again: the next sweep takes it.
-- Parameters: player, submission_id
UPDATE memora_srs_journal
SET state = 'pending', next_try_at = NULL, tries = 0, claimed_by = NULL, claimed_at = NULL
WHERE player = ? AND submission_id = ? AND applied_at IS NULL AND state <> 'dismissed'
