-- The right to purge, for whoever comes first once the last one's time is over; by the
-- database's clock. Assigned from left to right: modified_at comes last.
-- Parameters: note, seconds, seconds
INSERT INTO memora_srs_state (name, value, modified_at)
VALUES ('purge', ?, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE
  value = IF(modified_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND, VALUES(value), value),
  modified_at = IF(modified_at <= UTC_TIMESTAMP(6) - INTERVAL ? SECOND, VALUES(modified_at), modified_at)
