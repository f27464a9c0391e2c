-- One row an answer; applying a submit twice adds nothing.
-- Per row: player, submission_id, seq, created_at, season, question, quality,
--          response_time_ms, stability_before, stability_after, due_before, due_after,
--          last_review_before, last_review_after, version_before, review_version, door
INSERT INTO memora_srs_review_log
  (player, submission_id, seq, created_at, season, question, quality, response_time_ms,
   stability_before, stability_after, due_before, due_after, last_review_before,
   last_review_after, version_before, review_version, door)
VALUES {rows}
ON DUPLICATE KEY UPDATE seq = memora_srs_review_log.seq
