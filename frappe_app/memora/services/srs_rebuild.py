"""Rebuilding and clearing the cache of a season: jobs on ``long``, and what Desk hears of them."""

import hashlib
import time

import frappe

from memora.services import engine
from memora.services.season_argument import either_name

CLASS = "SRSRedisManager"
SEASON = "Game Subscription Season"

# Event of Desk's realtime channel, and title in the Error Log.
EVENT = "cache_rebuild"

# Seconds that a job may take. What it has not done by then, the next one goes on with.
TIMEOUT = 6 * 3600

# Seconds between two messages to Desk.
PAUSE = 1


@either_name
def enqueue(season) -> dict:
	"""Queue the rebuild of a season, unless one is queued or under way.

	Returns status (``started``, or ``already_running``), job_id, and estimated_records, the rows of
	the season as MariaDB estimates.
	"""
	job_id = _job_id("rebuild", season)
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
	try:
		return rebuild(season)
	except Exception:
		frappe.db.rollback()
		frappe.log_error(title=EVENT, message=frappe.get_traceback())
		frappe.db.commit()
		raise


def rebuild(season, batch_size=1000) -> dict:
	"""Rebuild now, in this process; see ``SRSRedisManager.rebuild_season_cache``."""
	last = 0

	def tell(_phase, done, total):
		nonlocal last
		if time.monotonic() - last >= PAUSE:
			last = time.monotonic()
			_publish(season, done=done, total=total)

	try:
		report = engine.call(CLASS, "rebuild_season_cache", season, batch_size, tell)
	except Exception as e:
		_publish(season, status="failed", error=str(e))
		raise
	done = report["total_users"]
	_publish(season, done=done, total=done, status=report["status"], report=report)
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
	return _enqueue("clear_if_off", _job_id("clear", season), season)


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
	once = {} if frappe.__version__.startswith("14.") else {"deduplicate": True}
	method = f"memora.services.srs_rebuild.{function}"
	job = frappe.enqueue(method, queue="long", timeout=TIMEOUT, job_id=job_id, season=season, **once)
	return job is not None


def _job_id(what: str, season: str) -> str:
	"""One for each season, of characters that every RQ takes."""
	digest = hashlib.sha1(season.encode(), usedforsecurity=False).hexdigest()
	return f"memora_srs_{what}_{digest[:12]}"


def _publish(season: str, **message) -> None:
	"""Tell Desk; that nobody hears is no reason to stop."""
	try:
		frappe.publish_realtime(EVENT, {"season": season, **message})
	except Exception:
		frappe.logger("memora").warning("Desk could not be told of a rebuild", exc_info=True)
