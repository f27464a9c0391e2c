"""Rebuilding and clearing the cache of a season: jobs on ``long``, and what Desk hears of them."""

import frappe

from memora.services import engine, long_work
from memora.services.season_argument import either_name

CLASS = "SRSRedisManager"
SEASON = "Game Subscription Season"

# Event of Desk's realtime channel, and title in the Error Log.
EVENT = "cache_rebuild"


@either_name
def enqueue(season) -> dict:
	"""Queue the rebuild of a season, unless one is queued or under way.

	Returns status (``started``, or ``already_running``), job_id, and estimated_records, the rows of
	the season as MariaDB estimates.
	"""
	job_id = long_work.job_id("rebuild", season)
	rows = sum(p["rows"] for p in engine.call("PartitionManager", "get_partition_stats", season))
	known = engine.call(CLASS, "get_rebuild_status", season)
	queued = not (known and known["running"]) and _enqueue("run", job_id, season)
	return {
		"status": "started" if queued else "already_running",
		"job_id": job_id,
		"estimated_records": rows,
	}


def run(season) -> dict:
	"""The job: rebuild, and tell Desk. What goes wrong is in the Error Log as ``cache_rebuild``."""
	with long_work.error_log(EVENT):
		return rebuild(season)


def rebuild(season, batch_size=1000) -> dict:
	"""Rebuild now, in this process; see ``SRSRedisManager.rebuild_season_cache``."""
	desk = long_work.Desk(EVENT, season)

	def tell(_phase, done, total):
		desk.progress(done=done, total=total)

	try:
		report = engine.call(CLASS, "rebuild_season_cache", season, batch_size, tell)
	except Exception as e:
		desk.says(status="failed", error=str(e))
		raise
	done = report["total_users"]
	desk.says(done=done, total=done, status=report["status"], report=report)
	return report


def season_saved(doc, method=None) -> None:
	"""Hook: where ``enable_redis`` was switched, fill or clear the season's cache after the commit."""
	before = doc.get_doc_before_save()
	if before and bool(before.enable_redis) != bool(doc.enable_redis):
		# Imported here: that module's other hooks need nothing of this one.
		from memora.services.srs_documents import after_commit

		after_commit("memora.services.srs_rebuild.switched", season=doc.name)


@either_name
def switched(season) -> bool:
	"""Queue what follows from a season's ``enable_redis`` as it is now; False if that is queued."""
	if frappe.db.get_value(SEASON, season, "enable_redis"):
		return enqueue(season)["status"] == "started"
	return _enqueue("clear_if_off", long_work.job_id("clear", season), season)


@either_name
def clear_if_off(season) -> int:
	"""The job: forget the schedules of a season that is not cached any more; how many there were."""
	if frappe.db.get_value(SEASON, season, "enable_redis"):
		return 0
	# A read that begins a transaction keeps others' ALTERs waiting: this takes a while.
	frappe.db.rollback()
	return engine.call(CLASS, "clear_season_cache", season, thorough=True)


def _enqueue(function: str, job_id: str, season: str) -> bool:
	"""Queue a job unless it is queued already; whether it was."""
	method = f"memora.services.srs_rebuild.{function}"
	return long_work.enqueue_once(method, job_id, season=season) is not None
