"""What jobs of ours have in common: one of each waits or runs, and Desk hears of those that take long."""

import hashlib
import time
from contextlib import contextmanager

import frappe

# Seconds that a long job may take. What it has not done by then, the next one goes on with.
TIMEOUT = 6 * 3600

# Seconds between two messages to Desk.
PAUSE = 1


def job_id(what: str, season: str | None = None) -> str:
	"""The id of a job: one for each work and season, of characters that every RQ takes."""
	if not season:
		return f"memora_srs_{what}"
	digest = hashlib.sha1(season.encode(), usedforsecurity=False).hexdigest()
	return f"memora_srs_{what}_{digest[:12]}"


def enqueue_once(method: str, job_id: str, queue: str = "long", timeout: int = TIMEOUT, **kwargs):
	"""Queue a job unless one of this id waits or runs; None if it does.

	Frappe 14 does not look: there a second one may run, which the engine bears.
	"""
	once = {} if frappe.__version__.startswith("14.") else {"deduplicate": True}
	return frappe.enqueue(method, queue=queue, timeout=timeout, job_id=job_id, **once, **kwargs)


@contextmanager
def error_log(title: str):
	"""Put what goes wrong within into the Error Log, past a rollback, and raise it."""
	try:
		yield
	except Exception:
		frappe.db.rollback()
		frappe.log_error(title=title, message=frappe.get_traceback())
		frappe.db.commit()
		raise


class Desk:
	"""Desk's realtime channel, for long work on one season, or on all of them (None)."""

	def __init__(self, event: str, season: str | None):
		self.event, self.season, self.last = event, season, 0.0

	def progress(self, **message) -> None:
		"""Say how far it is, once a second at most."""
		if time.monotonic() - self.last >= PAUSE:
			self.last = time.monotonic()
			self.says(**message)

	def says(self, **message) -> None:
		"""Tell it; that nobody hears is no reason to stop."""
		try:
			frappe.publish_realtime(self.event, {"season": self.season, **message})
		except Exception:
			frappe.logger("memora").warning(f"Desk could not be told: {self.event}", exc_info=True)
