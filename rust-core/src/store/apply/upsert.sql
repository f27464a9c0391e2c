-- Absolute states into the tracker; the newer one wins (rule C1). The guard is true if
-- the new state's version is higher, or equal with a later due time, or equal in both
-- with a higher stability; and only if the row that the key met is the same student's
-- question, so that a collision of row names can never change somebody else's row.
--
-- MariaDB assigns from left to right and sees what it assigned: what the guard compares
-- comes last, in the order stability, due, version, in which a value already assigned
-- cannot change the verdict for those after it. A state without subject and topic
-- keeps those on record.
--
-- Per row: name, creation, modified, modified_by, owner, player, season, question_id,
--          stability, next_review_date, last_review_date, review_version, subject, topic
INSERT INTO `tabPlayer Memory Tracker`
  (name, creation, modified, modified_by, owner, docstatus, idx, player, season,
   question_id, stability, next_review_date, last_review_date, review_version, subject, topic)
VALUES {rows}
ON DUPLICATE KEY UPDATE
  modified = IF({guard}, VALUES(modified), modified),
  modified_by = IF({guard}, VALUES(modified_by), modified_by),
  subject = IF({guard}, COALESCE(VALUES(subject), subject), subject),
  topic = IF({guard}, COALESCE(VALUES(topic), topic), topic),
  last_review_date = IF({guard}, VALUES(last_review_date), last_review_date),
  stability = IF({guard}, VALUES(stability), stability),
  next_review_date = IF({guard}, VALUES(next_review_date), next_review_date),
  review_version = IF({guard}, VALUES(review_version), review_version)
