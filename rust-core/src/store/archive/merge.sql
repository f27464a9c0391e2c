-- Rows of a season into a table that may have some of their questions; as
-- ../apply/upsert.sql, whose order of assignments matters here too.
-- {into}, {from}: tables; {columns}, {values}: of all columns that both have; {range}: which
-- rows; {also}: what else changes with a row; {guard}: merge_guard.sql
-- Parameters: those of {values}, those of {range}
INSERT INTO {into} ({columns})
SELECT {values} FROM {from} AS source WHERE {range} ORDER BY name
ON DUPLICATE KEY UPDATE
  {into}.modified = IF({guard}, VALUES(modified), {into}.modified),
  {into}.modified_by = IF({guard}, VALUES(modified_by), {into}.modified_by),
  {also}
  {into}.subject = IF({guard}, COALESCE(VALUES(subject), {into}.subject), {into}.subject),
  {into}.topic = IF({guard}, COALESCE(VALUES(topic), {into}.topic), {into}.topic),
  {into}.last_review_date = IF({guard}, VALUES(last_review_date), {into}.last_review_date),
  {into}.stability = IF({guard}, VALUES(stability), {into}.stability),
  {into}.next_review_date = IF({guard}, VALUES(next_review_date), {into}.next_review_date),
  {into}.review_version = IF({guard}, VALUES(review_version), {into}.review_version)
