-- Count and checksums of rows, which do not depend on their order. A row that is too long for
-- a CRC has NULL, and its mark is missing in the sum.
-- {first}, {second}: columns as text, {mark}: more than all CRCs together, {table},
-- {season}: a literal, {range}: which keys
-- Parameters: those of {range}
-- Out: rows, sums of the marked checksums
SELECT COUNT(*),
       CAST(COALESCE(SUM(CRC32(CONCAT_WS(x'1f', {first})) + {mark}), 0) AS CHAR),
       CAST(COALESCE(SUM(CRC32(CONCAT_WS(x'1f', {second})) + {mark}), 0) AS CHAR)
FROM {table} FORCE INDEX (PRIMARY)
WHERE season = {season} AND {range}
