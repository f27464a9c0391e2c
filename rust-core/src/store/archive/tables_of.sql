-- The tables that a season's rows are in on their way into the archive.
-- Parameters: their names, as a pattern
SELECT table_name FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name LIKE ?
