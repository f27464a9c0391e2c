"""Safe Mode: limits while the Redis with the schedules is away.

Counted by all processes of the host and, where the queue Redis answers, of all hosts. Each method is
also a function of this module, for ``bench execute``.
"""

from memora.services import engine

CLASS = "SafeModeManager"


class SafeModeManager:
	"""Limits of the site at hand while its Redis is away.

	``get_review_session`` asks them by itself; submits are not limited.
	"""

	# Requests a minute of all students together, and seconds between two of one student, unless the
	# site's configuration has srs_safe_mode_global_limit and srs_safe_mode_user_seconds.
	GLOBAL_LIMIT = 500
	USER_LIMIT_SECONDS = 30

	def is_safe_mode_active(self) -> bool:
		"""Whether Redis is away, so that reads come from the table, within limits."""
		return engine.call(CLASS, "is_safe_mode_active")

	def check_rate_limit(self, user) -> bool:
		"""Whether this student may read without the cache now; if so, it counts as a read.

		Counts whether Redis is away or not.
		"""
		return engine.call(CLASS, "check_rate_limit", user)

	def get_global_request_count(self) -> int:
		"""Reads of all students in this minute, which began with its first read."""
		return engine.call(CLASS, "get_global_request_count")

	def get_user_last_request(self, user) -> float | None:
		"""When this student last read without the cache, UTC epoch seconds; None if it is not known."""
		return engine.call(CLASS, "get_user_last_request", user)

	def reset_user_rate_limit(self, user) -> None:
		"""Let this student read at once.

		Raises UnavailableError (503) when the queue Redis is away: it is so on this host alone then.
		"""
		return engine.call(CLASS, "reset_user_rate_limit", user)

	def reset_global_rate_limit(self) -> None:
		"""Count the reads of all students anew. Raises as ``reset_user_rate_limit`` does."""
		return engine.call(CLASS, "reset_global_rate_limit")


def is_safe_mode_active() -> bool:
	"""See ``SafeModeManager.is_safe_mode_active``."""
	return SafeModeManager().is_safe_mode_active()


def check_rate_limit(user) -> bool:
	"""See ``SafeModeManager.check_rate_limit``."""
	return SafeModeManager().check_rate_limit(user)


def get_global_request_count() -> int:
	"""See ``SafeModeManager.get_global_request_count``."""
	return SafeModeManager().get_global_request_count()


def get_user_last_request(user) -> float | None:
	"""See ``SafeModeManager.get_user_last_request``."""
	return SafeModeManager().get_user_last_request(user)


def reset_user_rate_limit(user) -> None:
	"""See ``SafeModeManager.reset_user_rate_limit``."""
	return SafeModeManager().reset_user_rate_limit(user)


def reset_global_rate_limit() -> None:
	"""See ``SafeModeManager.reset_global_rate_limit``."""
	return SafeModeManager().reset_global_rate_limit()
