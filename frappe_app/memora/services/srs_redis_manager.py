"""Students' schedules in Redis: sorted sets of question ids by due time.

A cache: what is read here is what is cached, nothing for a student whose schedule was evicted,
until a read fills it from the table. Times are UTC epoch seconds. Each method is also a function
of this module, for ``bench execute``.
"""

import redis

from memora.services import engine, srs_rebuild
from memora.services.season_argument import either_name

CLASS = "SRSRedisManager"

# Clients of code that reaches through, by URL; redis-py's pools notice a fork by themselves.
_clients = {}


class SRSRedisManager:
	"""The cached schedules of the site at hand. Making one opens nothing.

	Methods raise UnavailableError (503) when Redis is away, ValidationError (417) for a name,
	time or limit that cannot be.
	"""

	@property
	def redis(self):
		"""A redis-py client of the Redis that holds the schedules; answers are bytes.

		For code that reaches through. The engine does not notice what is done here: prefer the methods.
		"""
		url = engine.call(CLASS, "redis_url")
		if url not in _clients:
			_clients[url] = redis.Redis.from_url(url)
		return _clients[url]

	@either_name
	def add_item(self, user, season, question_id, next_review_ts, ttl=None) -> bool:
		"""Set when a question is due (UTC epoch seconds); True when it was stored.

		``ttl``: seconds until the key expires if this call makes it, 30 days if not given.
		"""
		return engine.call(CLASS, "add_item", user, season, question_id, next_review_ts, ttl)

	@either_name
	def add_batch(self, user, season, items, ttl=None) -> bool:
		"""Set when several questions are due, in one step. ``items``: UTC epoch seconds by question id."""
		return engine.call(CLASS, "add_batch", user, season, items, ttl)

	@either_name
	def remove_item(self, user, season, question_id) -> bool:
		"""Take a question out of the cached schedule, not out of the table; True if it was there."""
		return engine.call(CLASS, "remove_item", user, season, question_id)

	@either_name
	def get_due_items(self, user, season, limit=20) -> list[str]:
		"""Ids that are due now, most overdue first; empty if the schedule is not cached."""
		return engine.call(CLASS, "get_due_items", user, season, limit)

	@either_name
	def get_due_items_with_rehydration(self, user, season, limit=20) -> tuple[list[str], bool]:
		"""Ids that are due now, and whether this call filled the cache from the table for that.

		Raises UnavailableError when Redis or MariaDB is away.
		"""
		return engine.call(CLASS, "get_due_items_with_rehydration", user, season, limit)

	@either_name
	def count_due_items(self, user, season) -> int:
		"""How many questions are due now; 0 if the schedule is not cached."""
		return engine.call(CLASS, "count_due_items", user, season)

	@either_name
	def get_all_scores(self, user, season) -> dict[str, float]:
		"""Due time (UTC epoch seconds) by question id; empty if the schedule is not cached."""
		return engine.call(CLASS, "get_all_scores", user, season)

	@either_name
	def clear_user_cache(self, user, season) -> bool:
		"""Remove a student's schedule from Redis, not from the table; True if there was one."""
		return engine.call(CLASS, "clear_user_cache", user, season)

	@either_name
	def get_cache_stats(self, user, season) -> dict:
		"""Size of a cached schedule: total_items, due_items, memory_usage_bytes (companion keys too)."""
		return engine.call(CLASS, "get_cache_stats", user, season)

	def is_available(self) -> bool:
		"""Whether Redis answers a command now."""
		return engine.call(CLASS, "is_available")

	@either_name
	def rebuild_season_cache(self, season_name, batch_size=1000) -> dict:
		"""Fill the schedules of all students of a season; takes as long as that takes.

		Students read and submit meanwhile. Desk hears of progress: event ``cache_rebuild`` with
		season, done and total (students; 0 if not known), once a second, and with status
		(``completed``, ``incomplete`` or ``failed``) at the end. A rebuild that was interrupted goes on
		where it stood.
		``batch_size``: students read at once, 1 to 10,000.

		Returns total_records, total_users, total_keys, status, skipped, left, refilled, lost, seconds.
		``incomplete``: Redis was emptied meanwhile, or is too small, and lacks ``lost`` schedules.

		Raises ValidationError (417) for a season that is archived or not cached, UnavailableError
		(503) when another rebuild of it is under way or a server is away.
		"""
		return srs_rebuild.rebuild(season_name, batch_size)

	@either_name
	def get_rebuild_status(self, season_name) -> dict | None:
		"""Where the rebuild of a season stands: note, modified_at (UTC), running; None if there was none."""
		return engine.call(CLASS, "get_rebuild_status", season_name)

	@either_name
	def clear_season_cache(self, season_name) -> int:
		"""Remove the schedules of all students of a season from Redis, not from the table; how many."""
		return engine.call(CLASS, "clear_season_cache", season_name)

	def get_cache_status(self) -> dict:
		"""Look at the Redis with the schedules, for two seconds at most.

		Returns redis_connected, is_safe_mode, memory_used_mb, total_keys and keys_by_season (schedules);
		is_complete is False if there was no time to count all.
		"""
		return engine.call(CLASS, "get_cache_status")

	@either_name
	def _make_key(self, user, season) -> str:
		"""Redis key of a student's schedule: ``srs:<user>:<season>`` behind the site's prefix."""
		return engine.call(CLASS, "_make_key", user, season)


@either_name
def add_item(user, season, question_id, next_review_ts, ttl=None) -> bool:
	"""See ``SRSRedisManager.add_item``."""
	return SRSRedisManager().add_item(user, season, question_id, next_review_ts, ttl)


@either_name
def add_batch(user, season, items, ttl=None) -> bool:
	"""See ``SRSRedisManager.add_batch``."""
	return SRSRedisManager().add_batch(user, season, items, ttl)


@either_name
def remove_item(user, season, question_id) -> bool:
	"""See ``SRSRedisManager.remove_item``."""
	return SRSRedisManager().remove_item(user, season, question_id)


@either_name
def get_due_items(user, season, limit=20) -> list[str]:
	"""See ``SRSRedisManager.get_due_items``."""
	return SRSRedisManager().get_due_items(user, season, limit)


@either_name
def get_due_items_with_rehydration(user, season, limit=20) -> tuple[list[str], bool]:
	"""See ``SRSRedisManager.get_due_items_with_rehydration``."""
	return SRSRedisManager().get_due_items_with_rehydration(user, season, limit)


@either_name
def count_due_items(user, season) -> int:
	"""See ``SRSRedisManager.count_due_items``."""
	return SRSRedisManager().count_due_items(user, season)


@either_name
def get_all_scores(user, season) -> dict[str, float]:
	"""See ``SRSRedisManager.get_all_scores``."""
	return SRSRedisManager().get_all_scores(user, season)


@either_name
def clear_user_cache(user, season) -> bool:
	"""See ``SRSRedisManager.clear_user_cache``."""
	return SRSRedisManager().clear_user_cache(user, season)


@either_name
def get_cache_stats(user, season) -> dict:
	"""See ``SRSRedisManager.get_cache_stats``."""
	return SRSRedisManager().get_cache_stats(user, season)


def is_available() -> bool:
	"""See ``SRSRedisManager.is_available``."""
	return SRSRedisManager().is_available()


@either_name
def rebuild_season_cache(season_name, batch_size=1000) -> dict:
	"""See ``SRSRedisManager.rebuild_season_cache``."""
	return SRSRedisManager().rebuild_season_cache(season_name, batch_size)


@either_name
def get_rebuild_status(season_name) -> dict | None:
	"""See ``SRSRedisManager.get_rebuild_status``."""
	return SRSRedisManager().get_rebuild_status(season_name)


@either_name
def clear_season_cache(season_name) -> int:
	"""See ``SRSRedisManager.clear_season_cache``."""
	return SRSRedisManager().clear_season_cache(season_name)


def get_cache_status() -> dict:
	"""See ``SRSRedisManager.get_cache_status``."""
	return SRSRedisManager().get_cache_status()
