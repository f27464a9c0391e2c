-- The claim on rows of claim.sql: until it is over no other sweeper takes them. If the
-- claimant dies the claim ends by itself. {keys}: player and submission_id of each.
-- Parameters: claimant, seconds; per row: player, submission_id
UPDATE memora_srs_journal
SET claimed_by = ?, claimed_at = UTC_TIMESTAMP(6),
    next_try_at = UTC_TIMESTAMP(6) + INTERVAL ? SECOND
WHERE {keys}
