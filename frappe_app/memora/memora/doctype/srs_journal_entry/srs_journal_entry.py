"""The journal in Desk: a virtual DocType, whose rows are the engine's.

Its name is ``<submission id>:<player>``. Nothing is edited here; a row is retried or dismissed.
"""

import datetime
import json

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.utils import cint, convert_utc_to_system_timezone

from memora.services import srs_journal, srs_sweeper
from memora.services.administrators import only_administrators

DOCTYPE = "SRS Journal Entry"

# What the list can be filtered by beside the state, one value each.
FIELDS = ("player", "season", "submission_id")

# Rows that the engine lists in one call.
MOST = 1000


class SRSJournalEntry(Document):
	"""One accepted submit, as the journal has it."""

	def load_from_db(self):
		"""Read the row, with its answers."""
		only_administrators()
		submission_id, player = _key(self.name)
		row = srs_journal.journal_show(player, submission_id)
		super(Document, self).__init__(_shown(row))

	@staticmethod
	def get_list(args):
		"""Rows as the list view asks for them, unapplied ones oldest first."""
		only_administrators()
		args = frappe._dict(args)
		start = cint(args.start or args.limit_start)
		wanted = cint(args.page_length or args.limit_page_length) or 20
		which = _which(args.filters)
		rows = []
		while len(rows) < wanted:
			limit = min(wanted - len(rows), MOST)
			piece = srs_journal.journal_list(start=start + len(rows), limit=limit, **which)
			rows += piece
			if len(piece) < limit:
				break
		return [_shown(row) for row in rows]

	@staticmethod
	def get_count(args):
		"""How many rows the list has in all."""
		only_administrators()
		return srs_journal.journal_count(**_which(frappe._dict(args).filters))

	@staticmethod
	def get_stats(args):
		"""No statistics: every row is another."""
		return {}

	def db_insert(self, *args, **kwargs):
		"""Refused: rows are made by submits."""
		self._refuse()

	def db_update(self, *args, **kwargs):
		"""Refused: what was accepted stays as it is."""
		self._refuse()

	def delete(self, *args, **kwargs):
		"""Refused: a row is dismissed instead."""
		self._refuse()

	def _refuse(self):
		frappe.throw(_("Submits are retried or dismissed, and nothing else"), exc=frappe.PermissionError)


@frappe.whitelist(methods=["POST"])
def retry(names):
	"""Have these rows tried again by a sweep, which is queued; System Manager only. Returns how many."""
	changed = _change(srs_journal.journal_retry, names)
	if changed:
		srs_sweeper.sweep_soon()
	return changed


@frappe.whitelist(methods=["POST"])
def dismiss(names):
	"""Give these rows up for good; System Manager only. Returns how many."""
	return _change(srs_journal.journal_dismiss, names)


def _change(change, names):
	only_administrators()
	names = json.loads(names) if isinstance(names, str) and names.startswith("[") else names
	names = [names] if isinstance(names, str) else names
	changed = 0
	for name in names:
		submission_id, player = _key(name)
		done = change(submission_id=submission_id, player=player)
		changed += len(done["entries"])
		for _player, submission_id, why in done["skipped"]:
			frappe.msgprint(f"{submission_id}: {why}")
	return changed


def _key(name):
	"""Submission id and player. Raises DoesNotExistError (404) for what is no name of a row."""
	submission_id, colon, player = str(name).partition(":")
	if not colon or not player:
		frappe.throw(_("{0} {1} not found").format(_(DOCTYPE), name), exc=frappe.DoesNotExistError)
	return submission_id, player


def _which(filters) -> dict:
	"""The engine's filter for Desk's. Raises ValidationError (417) for what it cannot do."""
	which = {}
	for field, operator, value in _conditions(filters):
		if field == "submission_id" and operator == "like":
			# Desk's way to look for a text. An id is random: who looks for one has all of it.
			operator, value = "=", str(value).strip("%")
		if field == "state" and operator in ("=", "in"):
			states = value.split(",") if isinstance(value, str) else value
			which["states"] = [state.strip() for state in states if state and state.strip()]
		elif field in FIELDS and operator == "=":
			which[field] = value
		elif field == "name" and operator == "=":
			which["submission_id"], which["player"] = _key(value)
		else:
			frappe.throw(_("The journal cannot be filtered by {0} {1}").format(field, operator))
	return which


def _conditions(filters):
	"""Field, operator and value of each condition, from both shapes that Desk sends: list and dict."""
	if isinstance(filters, dict):
		for field, condition in filters.items():
			operator, value = condition if isinstance(condition, (list, tuple)) else ("=", condition)
			yield field, operator.lower(), value
		return
	for condition in filters or []:
		# The DocType may stand before them, and what Desk adds after them.
		field, operator, value = condition[1:4] if len(condition) > 3 else condition
		yield field, operator.lower(), value


def _shown(row) -> dict:
	"""A row as Desk shows it, in the site's time."""
	created = _wall(row["created_at"])
	return frappe._dict(
		row,
		doctype=DOCTYPE,
		name=f"{row['submission_id']}:{row['player']}",
		creation=created,
		modified=created,
		owner=row["player"],
		modified_by=row["player"],
		docstatus=0,
		idx=0,
		created_at=created,
		applied_at=_wall(row["applied_at"]),
		next_try_at=_wall(row["next_try_at"]),
		cached_at=_wall(row.get("cached_at")),
		payload=json.dumps(row.get("payload"), indent=1, ensure_ascii=False),
	)


def _wall(moment):
	"""UTC of the engine as the site's wall time."""
	if not moment:
		return None
	utc = datetime.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ")
	return convert_utc_to_system_timezone(utc).replace(tzinfo=None)
