-- Count and checksum of rows, which do not depend on their order.
-- {columns}: the columns as text, {table}, {season}: a literal, {range}: which keys
-- Parameters: those of {range}
-- Out: rows, rows with a checksum, sum and exclusive or of the checksums
SELECT COUNT(*), COUNT(crc), CAST(COALESCE(SUM(crc), 0) AS UNSIGNED), BIT_XOR(crc)
FROM (SELECT CRC32(CONCAT_WS(x'1f', {columns})) AS crc
      FROM {table} FORCE INDEX (PRIMARY)
      WHERE season = {season} AND {range}) AS summed
