"""Accepted answers on their way into the table: what an operator sees of the journal and does to it.

Which rows: ``states`` (of pending, queued, retrying, failed, late, applied, dismissed; none means those
that are not applied), ``player``, ``season`` and ``submission_id`` as stored, ``older_than`` in seconds.
Whoever calls this decides who may; Desk's face is the DocType SRS Journal Entry.
"""

import frappe

from memora.services import engine

CLASS = "Journal"


def journal_list(start=0, limit=100, **which) -> list[dict]:
	"""Rows without their answers, unapplied ones oldest first, else newest first; 1000 at most."""
	return engine.call(CLASS, "list", start=start, limit=limit, **which)


def journal_count(**which) -> int:
	"""How many rows ``journal_list`` would give without a limit."""
	return engine.call(CLASS, "count", **which)


def journal_show(player, submission_id) -> dict:
	"""One row with its answers. Raises DoesNotExistError (404) if there is none."""
	return engine.call(CLASS, "show", player, submission_id)


def journal_retry(dry_run=False, **which) -> dict:
	"""Have rows tried again that are not applied: the next sweep takes them.

	Returns:
		entries, skipped (player, submission id, why), dry_run, more

	Raises ValidationError (417) if nothing says which.
	"""
	return engine.call(CLASS, "retry", dry_run=dry_run, **which)


def journal_dismiss(dry_run=False, **which) -> dict:
	"""Give up rows for good that are not applied: their answers go to the Error Log.

	Returns and raises as ``journal_retry``.
	"""
	return engine.call(CLASS, "dismiss", frappe.session.user, dry_run=dry_run, **which)
