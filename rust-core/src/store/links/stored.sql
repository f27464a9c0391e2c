-- The stored spelling of some documents' names.
-- {table}: the DocType's table; {names}: SELECT ? AS name, for each name asked for.
-- Out: name asked for, name stored.
SELECT asked.name, doc.name
  FROM ({names}) asked
  JOIN `{table}` doc ON doc.name = asked.name COLLATE utf8mb4_unicode_ci
