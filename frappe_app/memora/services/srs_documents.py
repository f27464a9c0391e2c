"""What follows when somebody saves, renames or deletes a document: hooks.

The engine works on connections of its own. So what must be undone by a rollback is done in
Frappe's transaction, and what must not be done before it is certain (caches, journal) follows
the commit: directly where Frappe tells us of it, by a job on Frappe 14.
"""

import os
import time
import unicodedata

import frappe
from frappe import _
from frappe.utils import cint

from memora.services import engine, srs_sweeper

TRACKER = "Player Memory Tracker"

# Longest name in characters: what Frappe's columns hold.
MAX_NAME = 140

# Crockford's alphabet: no I, L, O, U.
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def check_name(label: str, value: str | None) -> None:
	"""Refuse (ValidationError) what is no name to the engine.

	One has 1 to 140 printable characters without outer blanks. ``label``: the field, for the message.
	"""
	value = value or ""
	if not value:
		frappe.throw(_("{0} must not be empty").format(label))
	if len(value) > MAX_NAME:
		frappe.throw(_("{0} must have at most {1} characters").format(label, MAX_NAME))
	if any(unicodedata.category(c) == "Cc" for c in value):
		frappe.throw(_("{0} must consist of printable characters").format(label))
	if value.strip() != value:
		frappe.throw(_("{0} must not begin or end with a blank").format(label))


# Seasons


def season_inserted(doc, method=None) -> None:
	"""Make the season's partition, on a connection of the engine's: nobody writes before it is there.

	If the insert is rolled back, an empty partition remains, which the next attempt uses. This
	transaction cannot read the tracker any more (MariaDB's error 1412): commit first. Raises
	UnavailableError if the table stays locked, MemoraError if it is not migrated: no season then.
	"""
	if not engine.call("PartitionManager", "is_table_partitioned"):
		frappe.throw(
			_("The tables of Memora are not migrated: run bench migrate, then make the season."),
			exc=engine.MemoraError,
		)
	# The engine would wait for this transaction's lock on the season's row: the note is made here.
	engine.call("PartitionManager", "create_season_partition", doc.name, note=False)
	doc.db_set("partition_created", 1, update_modified=False)


def season_renames(doc, method=None, *names) -> None:
	"""Refuse to rename a season: partitions, caches and accepted reviews go by its name."""
	frappe.throw(_("A season cannot be renamed: schedules are kept under its name"))


# Rows of the schedule


def name_tracker(doc, method=None) -> None:
	"""Give a new row a name that no other can have (ULID).

	The table's key includes the season, so MariaDB does not notice a name that two rows share.
	"""
	doc.name = ulid()


def tracker_changes(doc, method=None) -> None:
	"""Make an edit by hand newer than every review so far, so that none undoes it."""
	# for_update: what is committed now, not what this transaction's snapshot shows.
	row = {"name": doc.name, "season": doc.season}
	before = 0 if doc.is_new() else cint(frappe.db.get_value(TRACKER, row, "review_version", for_update=True))
	doc.review_version = max(time.time_ns() // 1000, before + 1)


def tracker_changed(doc, method=None) -> None:
	"""After the commit, have the student's schedule read anew.

	The version is kept also where the DocType does not declare it.
	"""
	if not doc.meta.has_field("review_version"):
		row = {"name": doc.name, "season": doc.season}
		frappe.db.set_value(TRACKER, row, "review_version", doc.review_version, update_modified=False)
	for player, season in {(doc.player, doc.season), _before(doc)} - {None}:
		after_commit("memora.services.srs_documents.invalidate", player=player, season=season)


def tracker_deleted(doc, method=None) -> None:
	"""After the commit, have the student's schedule read anew."""
	after_commit("memora.services.srs_documents.invalidate", player=doc.player, season=doc.season)


def _before(doc) -> tuple | None:
	old = doc.get_doc_before_save()
	return (old.player, old.season) if old else None


def invalidate(player: str, season: str) -> bool:
	"""Drop the cached schedule of this student and season; True if there was one."""
	return engine.call("Players", "invalidate", player, season)


# Users


def user_renames(doc, method=None, old=None, new=None, merge=False) -> None:
	"""Before a User is renamed: not now if a season is on its way into the archive or back.

	Its rows are in a table then that Frappe does not know. Raises UnavailableError (503).

	Before two Users become one: of questions that both have, keep the newer row. Frappe gives all
	rows of the old User to the new one, which the table refuses where both have the question. So
	this happens in Frappe's transaction, and goes with it if it is rolled back.
	"""
	if not engine.problem():
		# Having read the tracker, this transaction keeps all seasons' rows in it until it ends.
		frappe.db.exists(TRACKER, {"player": old})
		engine.call("Players", "check_rename")
	if merge and old != new and frappe.db.get_value("User", new) == new:
		for statement, values in engine.call("Players", "merge_rows", old, new):
			frappe.db.sql(statement, values)


def user_renamed(doc, method=None, old=None, new=None, merge=False) -> None:
	"""After the commit, move the student's journal, history and cached schedules."""
	after_commit("memora.services.srs_documents.move_player", old=old, new=new)


def move_player(old: str, new: str) -> dict:
	"""Move what the engine keeps under ``old`` to ``new``; numbers of what was moved.

	Any number of times: whoever is logged in under the old name is believed for a minute more, so
	that the sweeper does it again.
	"""
	moved = engine.call("Players", "rename", old, new)
	srs_sweeper.move_again(old, new)
	return moved


def user_deleted(doc, method=None) -> None:
	"""After the commit, remove the student's cached schedules and unapplied reviews.

	Rows of the schedule forbid the deletion, as any linked document does, unless it is forced.
	"""
	after_commit("memora.services.srs_documents.remove_player", player=doc.name)


def remove_player(player: str) -> dict:
	"""Remove what the engine keeps of a deleted User; numbers of what was removed."""
	return engine.call("Players", "remove", player)


# After the commit


def after_commit(method: str, **kwargs) -> None:
	"""Call this function (dotted path) once Frappe's transaction is committed; not if it is rolled back."""
	if hasattr(frappe.db, "after_commit"):
		frappe.db.after_commit.add(lambda: _call_or_queue(method, kwargs))
		return
	# Frappe 14: a job, and at the end of the request already, where there is one.
	frappe.enqueue(method, enqueue_after_commit=True, **kwargs)
	frappe.local.memora_pending = [*getattr(frappe.local, "memora_pending", ()), (method, kwargs)]


def call_pending(response=None, request=None) -> None:
	"""Hook ``after_request``, for Frappe 14: do now what jobs would do a moment later.

	After a rollback, too, which does no harm: what is called drops a cache, or looks for itself
	whether the User is gone.
	"""
	pending, frappe.local.memora_pending = getattr(frappe.local, "memora_pending", ()), []
	for method, kwargs in pending:
		try:
			frappe.get_attr(method)(**kwargs)
		except Exception:
			frappe.logger("memora").warning(f"{method} is left to its job", exc_info=True)
			frappe.clear_messages()


def _call_or_queue(method: str, kwargs: dict) -> None:
	"""Call it; if that fails, leave it to a job: the document is saved, whatever happens here."""
	try:
		frappe.get_attr(method)(**kwargs)
	except Exception:
		frappe.logger("memora").error(f"{method} failed, a job tries again", exc_info=True)
		frappe.clear_messages()
		try:
			frappe.enqueue(method, **kwargs)
		except Exception:
			frappe.logger("memora").error(f"{method} could not be queued", exc_info=True)


def ulid() -> str:
	"""A name that no other row has: 48 bits of time in milliseconds, 80 random bits."""
	number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
	return "".join(BASE32[number >> shift & 31] for shift in range(125, -1, -5))
