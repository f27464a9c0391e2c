-- A newer state of an archived question was archived now, and is kept as long as any other.
  {into}.archived_at = IF({guard}, VALUES(archived_at), {into}.archived_at),
  {into}.eligible_for_deletion = IF({guard}, 0, {into}.eligible_for_deletion),
