"""Seasons that are over, moved into the archive. The engine does not have this part yet.

Each method is also a function of this module, for ``bench execute``.
"""

from memora.services import engine
from memora.services.season_argument import either_name

CLASS = "SRSArchiver"


class SRSArchiver:
	"""Archive and retention of the site at hand."""

	@either_name
	def archive_season(self, season_name) -> dict:
		"""Archive an inactive season. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "archive_season", season_name)

	def process_auto_archive(self) -> dict:
		"""Archive the seasons that ask for it. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "process_auto_archive")

	def flag_eligible_for_deletion(self) -> dict:
		"""Flag rows archived over three years ago. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "flag_eligible_for_deletion")

	@either_name
	def get_archive_status(self, season_name) -> dict:
		"""How far the archiving of a season is. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "get_archive_status", season_name)

	@either_name
	def delete_eligible_records(self, season_name=None, confirm=False) -> dict:
		"""Delete flagged rows. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "delete_eligible_records", season_name, confirm)


@either_name
def archive_season(season_name) -> dict:
	"""See ``SRSArchiver.archive_season``."""
	return SRSArchiver().archive_season(season_name)


def process_auto_archive() -> dict:
	"""See ``SRSArchiver.process_auto_archive``."""
	return SRSArchiver().process_auto_archive()


def flag_eligible_for_deletion() -> dict:
	"""See ``SRSArchiver.flag_eligible_for_deletion``."""
	return SRSArchiver().flag_eligible_for_deletion()


@either_name
def get_archive_status(season_name) -> dict:
	"""See ``SRSArchiver.get_archive_status``."""
	return SRSArchiver().get_archive_status(season_name)


@either_name
def delete_eligible_records(season_name=None, confirm=False) -> dict:
	"""See ``SRSArchiver.delete_eligible_records``."""
	return SRSArchiver().delete_eligible_records(season_name, confirm)
