"""Safe Mode: limits while Redis is away. The engine does not have this part yet.

Each method is also a function of this module, for ``bench execute``.
"""

from memora.services import engine

CLASS = "SafeModeManager"


class SafeModeManager:
	"""Limits of the site at hand while its Redis is away."""

	# Requests a minute of all students together, and seconds between two of one student.
	GLOBAL_LIMIT = 500
	USER_LIMIT_SECONDS = 30

	def is_safe_mode_active(self) -> bool:
		"""Whether Redis is away. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "is_safe_mode_active")

	def check_rate_limit(self, user) -> bool:
		"""Whether this student may ask now, and count it. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "check_rate_limit", user)

	def get_global_request_count(self) -> int:
		"""Requests of this minute. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "get_global_request_count")

	def get_user_last_request(self, user) -> float | None:
		"""When this student last asked, UTC epoch seconds. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "get_user_last_request", user)

	def reset_user_rate_limit(self, user) -> None:
		"""Let this student ask at once. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "reset_user_rate_limit", user)

	def reset_global_rate_limit(self) -> None:
		"""Count this minute's requests anew. Not built yet: NotImplementedError (501)."""
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
