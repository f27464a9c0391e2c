-- One row an applied submit.
-- Per row: season, player, submission_id, job_id, door, worker, count, tries, result
INSERT INTO memora_srs_audit
  (season, player, submission_id, job_id, door, worker, `count`, tries, result)
VALUES {rows}
