"""What administrators (System Manager) may do. What changes something is POST only, for CSRF's sake.

``season_name`` is accepted for ``season``. Arguments come typed or as a form's text.
"""

import frappe
from frappe import _

from memora.services import engine, srs_archiver, srs_rebuild
from memora.services.administrators import only_administrators
from memora.services.partition_manager import PartitionManager
from memora.services.srs_reconciliation import SRSReconciliationService
from memora.services.srs_redis_manager import SRSRedisManager

SEASON = "Game Subscription Season"

MIN_SAMPLE = 100
MAX_SAMPLE = 100_000

# Rows that are moved or deleted while the request waits; of more a job takes care.
AT_ONCE = 100_000


@frappe.whitelist()
def get_season_infrastructure(season=None, season_name=None):
	"""What stands behind a season, for its form in Desk.

	Returns:
		engine_version, engine_problem (None if all is well), partition (as
		``PartitionManager.get_partition_stats`` has it, None if it has none), enable_redis,
		redis_connected, can_rebuild (whether its cache may be rebuilt now), rebuild (as
		``SRSRedisManager.get_rebuild_status`` has it, None if there was none)

	Raises DoesNotExistError (404) for an unknown season.
	"""
	only_administrators()
	season = _season(season, season_name)
	state = {"engine_version": engine.version(), "engine_problem": engine.problem(), "can_rebuild": False}
	if state["engine_problem"]:
		return state
	manager = SRSRedisManager()
	enable_redis, archived_on = frappe.db.get_value(SEASON, season, ("enable_redis", "archived_on"))
	connected = manager.is_available()
	return {
		**state,
		"partition": next(iter(PartitionManager().get_partition_stats(season)), None),
		"enable_redis": bool(enable_redis),
		"redis_connected": connected,
		"can_rebuild": bool(enable_redis and connected and not archived_on),
		"rebuild": manager.get_rebuild_status(season),
	}


@frappe.whitelist()
def get_cache_status():
	"""Look at the Redis with the schedules, for two seconds at most.

	Returns redis_connected, is_safe_mode, memory_used_mb, total_keys and keys_by_season (schedules);
	is_complete is False if there was no time to count all.
	"""
	only_administrators()
	return SRSRedisManager().get_cache_status()


@frappe.whitelist()
def get_metrics(as_text=False):
	"""Tell how the site is, what is wrong with it, and what this process has counted; two seconds or so.

	Returns what ``memora_srs.Metrics`` has as ``snapshot`` (sites, operations) and ``readiness`` (ready,
	problems); with ``as_text`` the text that Prometheus reads. What is counted is of the one process that
	answers, and a bench has many: let Prometheus ask the sidecar and the native worker.
	"""
	only_administrators()
	if str(as_text).lower() in ("1", "true"):
		return engine.call("Metrics", "text")
	return {**engine.call("Metrics", "snapshot"), **engine.call("Metrics", "readiness")}


@frappe.whitelist(methods=["POST"])
def rebuild_season_cache(season=None, season_name=None):
	"""Queue the filling of the schedules of all students of a season, one at a time.

	Returns status (``started``; ``already_running`` if one is queued or under way), job_id and
	estimated_records. Progress: ``SRSRedisManager.rebuild_season_cache``.

	Raises ValidationError (417) for a season that is archived or not cached.
	"""
	only_administrators()
	season = _season(season, season_name)
	enable_redis, archived_on = frappe.db.get_value(SEASON, season, ("enable_redis", "archived_on"))
	if archived_on:
		frappe.throw(_("Season {0} has ended and is archived").format(season))
	if not enable_redis:
		frappe.throw(_("Season {0} is not cached: Enable Redis is off").format(season))
	return srs_rebuild.enqueue(season)


@frappe.whitelist(methods=["POST"])
def trigger_reconciliation(sample_size=10000, season=None, season_name=None):
	"""Compare 100 to 100,000 random cached items with the table and correct the cache, now.

	Returns the report, as ``SRSReconciliationService.reconcile_cache_with_database`` has it.

	Raises ValidationError (417) for another size or an archived season, DoesNotExistError (404) for an
	unknown one, UnavailableError (503) when Redis or MariaDB is away or another run is under way.
	"""
	only_administrators()
	size = _sample_size(sample_size)
	season = _season(season, season_name) if season or season_name else None
	return SRSReconciliationService().reconcile_cache_with_database(size, season)


@frappe.whitelist(methods=["POST"])
def archive_season(season=None, confirm=False, season_name=None):
	"""Archive an inactive season, once confirmed; over 100,000 rows in a job.

	Returns status ``completed`` with records_archived and cache_keys_deleted, or ``started`` with
	job_id. Progress: ``memora.services.srs_archiver.EVENT``.

	Raises ValidationError (417) for an active season or without ``confirm``, ConflictError (409) when
	something is in the way, UnavailableError (503) when a run of it is under way.
	"""
	only_administrators()
	season = _season(season, season_name)
	_confirmed(confirm)
	archiver = srs_archiver.SRSArchiver()
	plan = archiver.plan_archive(season)
	if plan["problems"]:
		frappe.throw(". ".join(plan["problems"]))
	if plan["rows"] > AT_ONCE:
		return srs_archiver.start_archive(season)
	return archiver.archive_season(season)


@frappe.whitelist()
def get_archive_status(season=None, season_name=None):
	"""Where the archiving of a season stands; see ``SRSArchiver.get_archive_status``."""
	only_administrators()
	return srs_archiver.SRSArchiver().get_archive_status(_season(season, season_name))


@frappe.whitelist(methods=["POST"])
def delete_eligible_archived_records(season=None, confirm=False, season_name=None):
	"""Delete rows flagged for deletion, of one season or of all, once confirmed; over 100,000 in a job.

	Returns status ``completed`` with deleted_count, or ``started`` with job_id.

	Raises ValidationError (417) without ``confirm``.
	"""
	only_administrators()
	name = _season(season, season_name) if season or season_name else None
	_confirmed(confirm)
	archiver = srs_archiver.SRSArchiver()
	if archiver.count_eligible_records(name) > AT_ONCE:
		return srs_archiver.start_deletion(name)
	return {"status": "completed", **archiver.delete_eligible_records(name, confirm=True)}


def _season(season, season_name):
	"""The season that was named, in its stored spelling."""
	name = season or season_name
	if not name or not isinstance(name, str):
		frappe.throw(_("season: name one"))
	stored = frappe.db.get_value(SEASON, name, "name")
	if not stored:
		frappe.throw(_("Season {0} does not exist").format(name), exc=frappe.DoesNotExistError)
	return stored


def _confirmed(confirm):
	"""ValidationError (417) unless somebody said yes, in so many words."""
	if str(confirm).lower() not in ("1", "true"):
		frappe.throw(_("confirm: this cannot be undone; say confirm=1 to do it"))


def _sample_size(value):
	"""The size as a number; ValidationError (417) unless it is 100 to 100,000."""
	text = str(value)
	if not text.isdecimal() or not MIN_SAMPLE <= int(text) <= MAX_SAMPLE:
		frappe.throw(_("sample_size: must be {0} to {1}").format(MIN_SAMPLE, MAX_SAMPLE))
	return int(text)
