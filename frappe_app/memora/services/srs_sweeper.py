"""Accepted reviews that no job has applied: the scheduler looks for them every few minutes.

The sidecar and its worker sweep too; where they do not run, this is what brings in reviews whose
job was lost or never queued.
"""

import time

import frappe
from frappe.utils import cint
from redis.exceptions import RedisError

from memora.services import engine, long_work

# Job id on Frappe's queue: one sweep at a time waits or runs.
JOB = "memora_srs_sweep"

# Seconds that a job may take, and after which it starts no further round.
TIMEOUT = 300
BUDGET = 200

# Seconds for deleting what is past its retention.
PURGE_BUDGET = 60

# Cache entry of Users renamed lately: old name to [new name, UTC epoch seconds of the renaming].
RENAMED = "memora_srs_renamed"

# Seconds for which somebody logged in under the old name may still be believed, with some to spare.
BELIEVED = 120


def enqueue_sweep() -> None:
	"""Queue a sweep. Called by the scheduler; without the engine Desk's alert says what is missing."""
	if what := engine.problem():
		frappe.logger("memora").warning(what)
		return
	long_work.enqueue_once("memora.services.srs_sweeper.sweep", JOB, queue="default", timeout=TIMEOUT)


def sweep_soon() -> None:
	"""Queue a sweep for somebody who waits; where the queue is away, the scheduler's comes later."""
	try:
		enqueue_sweep()
	except RedisError:
		frappe.logger("memora").warning("no sweep could be queued", exc_info=True)


def sweep() -> int:
	"""Apply overdue reviews of this site, and delete what is past its retention.

	Returns how many batches were applied.

	Raises UnavailableError when MariaDB is away.
	"""
	end = time.monotonic() + BUDGET
	applied = 0
	while time.monotonic() < end:
		count = engine.call("SRSPersistenceService", "sweep")
		applied += count
		if not count:
			break
	engine.call("SRSPersistenceService", "purge", PURGE_BUDGET)
	try:
		_move_renamed()
	except RedisError:
		frappe.logger("memora").warning("renamed Users wait for Frappe's cache", exc_info=True)
	return applied


def move_again(old: str, new: str) -> None:
	"""Have a later sweep move once more what was sent under the old name in the meantime."""
	if not frappe.cache().hget(RENAMED, old):
		frappe.cache().hset(RENAMED, old, [new, int(time.time())])


def _move_renamed() -> None:
	"""Move what Users renamed some minutes ago sent under their old name."""
	for old, (new, since) in (frappe.cache().hgetall(RENAMED) or {}).items():
		if time.time() - cint(since) < BELIEVED:
			continue
		old = old.decode() if isinstance(old, bytes) else old
		try:
			engine.call("Players", "rename", old, new)
		except Exception:
			frappe.logger("memora").warning(f"{old} could not be moved to {new} once more", exc_info=True)
			frappe.clear_messages()
		frappe.cache().hdel(RENAMED, old)
