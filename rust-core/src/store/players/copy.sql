-- A journal row under another name. Nobody has claimed it there, nobody has queued it.
-- Parameters: new player, new submission id, player, submission id
INSERT INTO memora_srs_journal
  (player, submission_id, attempt, fingerprint, season, payload, state, created_at,
   applied_at, cached_at, tries, error)
SELECT ?, ?, attempt, fingerprint, season, payload, IF(state = 'queued', 'pending', state),
       created_at, applied_at, cached_at, tries, error
FROM memora_srs_journal
WHERE player = ? AND submission_id = ?
