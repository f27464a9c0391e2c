"""Accepted reviews that no job has applied: the scheduler looks for them every few minutes.

The sidecar and its worker sweep too; where they do not run, this is what brings in reviews whose
job was lost or never queued.
"""

import time

import frappe

from memora.services import engine

# Job id on Frappe's queue: one sweep at a time waits or runs.
JOB = "memora_srs_sweep"

# Seconds that a job may take, and after which it starts no further round.
TIMEOUT = 300
BUDGET = 200


def enqueue_sweep() -> None:
	"""Queue a sweep. Called by the scheduler; without the engine Desk's alert says what is missing."""
	if what := engine.problem():
		frappe.logger("memora").warning(what)
		return
	once = {} if frappe.__version__.startswith("14.") else {"deduplicate": True}
	frappe.enqueue("memora.services.srs_sweeper.sweep", queue="default", timeout=TIMEOUT, job_id=JOB, **once)


def sweep() -> int:
	"""Apply overdue reviews of this site; returns how many batches were applied.

	Raises UnavailableError when MariaDB is away.
	"""
	end = time.monotonic() + BUDGET
	applied = 0
	while time.monotonic() < end:
		count = engine.call("SRSPersistenceService", "sweep")
		applied += count
		if not count:
			break
	return applied
