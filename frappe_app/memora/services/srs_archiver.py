"""Seasons that are over, moved into the archive and back; archived rows past their retention.

Each method is also a function of this module, for ``bench execute``. The scheduler only enqueues
(``enqueue_auto_archive``, ``enqueue_retention``); what Desk starts and takes long runs as a job, too
(``start_archive``, ``start_deletion``). Whatever stops one, the next goes on with it.
"""

import frappe

from memora.services import engine, long_work
from memora.services.season_argument import either_name

CLASS = "SRSArchiver"

# Event of Desk's realtime channel: {season, phase, done, total} in rows, and at the end {season, status:
# "completed", report} or {season, status: "failed", error}. season is None for work on all of them.
EVENT = "season_archive"

# Title in the Error Log.
TITLE = "SRSArchiver"


class SRSArchiver:
	"""Archive and retention of the site at hand.

	Methods raise UnavailableError (503) when a server is away, a table is in use, or another run is
	under way: call again, it goes on. DoesNotExistError (404) for an unknown season.
	"""

	@either_name
	def archive_season(self, season_name, method=None) -> dict:
		"""Archive an inactive season, or merge what was written late for an archived one; tells Desk.

		``method``: ``convert`` or ``copy``, else what the server can do best.

		Returns status (``completed``), records_archived, cache_keys_deleted; also season, method,
		late_merged, was_archived, resumed, seconds.

		Raises ValidationError (417) for an active season, ConflictError (409) when something is in the
		way, or the archive does not have the same rows; nothing is dropped then.
		"""
		return _telling(season_name, "archive_season", season_name, method=method)

	@either_name
	def plan_archive(self, season_name, method=None) -> dict:
		"""What ``archive_season`` would do: season, method, rows, estimate_s, problems, and more."""
		return engine.call(CLASS, "plan_archive", season_name, method=method)

	@either_name
	def restore_season(self, season_name) -> dict:
		"""Bring a season's rows back from the archive; it stays inactive. Tells Desk."""
		return _telling(season_name, "restore_season", season_name)

	def process_auto_archive(self) -> dict:
		"""Archive the seasons with ``auto_archive`` that are inactive and over.

		Returns archived and skipped (names), failed (season and error of each) and late_merged, the rows
		written late for archived seasons. One that fails does not stop the others.
		"""
		return _telling(None, "process_auto_archive")

	def flag_eligible_for_deletion(self) -> dict:
		"""Flag rows archived over three years ago; flagged_count."""
		return _telling(None, "flag_eligible_for_deletion")

	@either_name
	def get_archive_status(self, season_name) -> dict:
		"""Where the archiving of a season stands.

		Returns season, state (``active``, ``inactive``, ``archiving``, ``archived``, ``restoring``),
		records_archived, archived_at, progress (None, or phase, done, total, running, failure, noted_at)
		and eligible_for_deletion.
		"""
		return engine.call(CLASS, "get_archive_status", season_name)

	@either_name
	def get_archived_schedule(self, user, season_name, after="", limit=1000) -> list[dict]:
		"""A student's archived questions for statistics, in the order of their ids, those after ``after``."""
		return engine.call(CLASS, "get_archived_schedule", user, season_name, after=after, limit=limit)

	@either_name
	def count_eligible_records(self, season_name=None) -> int:
		"""How many rows ``delete_eligible_records`` would delete."""
		return engine.call(CLASS, "count_eligible_records", season_name)

	@either_name
	def delete_eligible_records(self, season_name=None, confirm=False) -> dict:
		"""Delete flagged rows for good, of one season or of all; deleted_count.

		Raises ValidationError (417) unless ``confirm`` is true.
		"""
		return _telling(season_name, "delete_eligible_records", season_name, confirm)


@either_name
def archive_season(season_name, method=None) -> dict:
	"""See ``SRSArchiver.archive_season``."""
	return SRSArchiver().archive_season(season_name, method)


@either_name
def plan_archive(season_name, method=None) -> dict:
	"""See ``SRSArchiver.plan_archive``."""
	return SRSArchiver().plan_archive(season_name, method)


@either_name
def restore_season(season_name) -> dict:
	"""See ``SRSArchiver.restore_season``."""
	return SRSArchiver().restore_season(season_name)


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
def get_archived_schedule(user, season_name, after="", limit=1000) -> list[dict]:
	"""See ``SRSArchiver.get_archived_schedule``."""
	return SRSArchiver().get_archived_schedule(user, season_name, after, limit)


@either_name
def count_eligible_records(season_name=None) -> int:
	"""See ``SRSArchiver.count_eligible_records``."""
	return SRSArchiver().count_eligible_records(season_name)


@either_name
def delete_eligible_records(season_name=None, confirm=False) -> dict:
	"""See ``SRSArchiver.delete_eligible_records``."""
	return SRSArchiver().delete_eligible_records(season_name, confirm)


# Jobs


def enqueue_auto_archive() -> None:
	"""Queue ``process_auto_archive``. Called by the scheduler, daily."""
	_enqueue_scheduled("process_auto_archive")


def enqueue_retention() -> None:
	"""Queue ``flag_eligible_for_deletion``. Called by the scheduler, Sundays at two."""
	_enqueue_scheduled("flag_eligible_for_deletion")


def start_archive(season: str) -> dict:
	"""Queue the archiving of a season, one job at a time: status (``started``) and job_id."""
	return {"status": "started", "job_id": _enqueue("archive_season", season, season_name=season)}


def start_deletion(season: str | None) -> dict:
	"""Queue the deletion of flagged rows, one job at a time: status (``started``) and job_id."""
	return {
		"status": "started",
		"job_id": _enqueue("delete_eligible_records", season, season_name=season, confirm=True),
	}


def _enqueue_scheduled(function: str) -> None:
	if what := engine.problem():
		frappe.logger("memora").warning(what)
		return
	_enqueue(function, None)


def _enqueue(function: str, season: str | None, **kwargs) -> str:
	"""Queue a job on ``long`` unless it is queued already; its id."""
	job_id = long_work.job_id(function, season)
	long_work.enqueue_once("memora.services.srs_archiver.run", job_id, function=function, kwargs=kwargs)
	return job_id


def run(function: str, kwargs: dict) -> dict:
	"""The job: one of the functions of this module. What goes wrong is in the Error Log."""
	with long_work.error_log(TITLE):
		return getattr(SRSArchiver(), function)(**kwargs)


def _telling(season, name, /, *args, **kwargs) -> dict:
	"""Run long work of the engine, telling Desk."""
	desk = long_work.Desk(EVENT, season)

	def tell(phase, done, total):
		desk.progress(phase=phase, done=done, total=total)

	# An open transaction that has read the table of schedules would be in the engine's way.
	frappe.db.commit()
	try:
		report = engine.call(CLASS, name, *args, progress=tell, **kwargs)
	except Exception as e:
		desk.says(status="failed", error=str(e))
		raise
	# What Frappe has cached of the season is older.
	if season:
		frappe.clear_document_cache("Game Subscription Season", report.get("season", season))
	desk.says(status="completed", report=report)
	return report
