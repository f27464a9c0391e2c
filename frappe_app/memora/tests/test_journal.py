"""The journal in Desk: what an operator sees of accepted answers, and does to them."""

import json
import time
from unittest.mock import patch

import frappe
from frappe.desk import reportview
from redis.exceptions import RedisError

from memora.memora.doctype.srs_journal_entry import srs_journal_entry as desk
from memora.services import srs_journal
from memora.services.srs_persistence import SRSPersistenceService
from memora.tests.real_site import MemoraTestCase, wait_until

DOCTYPE = "SRS Journal Entry"


def payload():
	"""One answer, given now, due in some days."""
	now = int(time.time() * 1_000_000)
	item = {
		"question_id": "q",
		"quality": 4,
		"new_stability": 2.0,
		"new_next_review_date": "2036-01-01T00:00:00",
		"due_us": now + 3 * 86_400_000_000,
		"last_review_us": now,
		"review_version": now,
	}
	return {"v": 1, "door": "python", "at": now, "items": [item]}


class TestJournal(MemoraTestCase):
	active = True

	def setUp(self):
		super().setUp()
		self.ann = self.student()
		self.name = self.given_up("given-up")

	def given_up(self, submission_id):
		"""A submit that failed for good, without a job, which a worker of the bench would run; its name."""
		frappe.db.sql(
			"""INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, season,
			payload, state, tries, error, next_try_at)
			VALUES (%s, %s, %s, %s, %s, %s, 'failed', 12, 'no room', '9999-12-31')""",
			(self.ann, submission_id, b"a" * 16, b"f" * 32, self.season, json.dumps(payload())),
		)
		frappe.db.commit()
		return f"{submission_id}:{self.ann}"

	def state(self):
		return srs_journal.journal_show(self.ann, "given-up")["state"]

	def listed(self, **filters):
		"""The list with these values, as Desk asks for it."""
		return self.found([[DOCTYPE, field, "=", value] for field, value in filters.items()])

	def found(self, filters, page_length=20):
		"""The list, and how long it is in all, as Desk asks for it."""
		frappe.local.form_dict = frappe._dict(
			doctype=DOCTYPE,
			fields=json.dumps([f"`tab{DOCTYPE}`.`name`"]),
			filters=json.dumps(filters),
			start=0,
			page_length=page_length,
		)
		return reportview.get_list(), reportview.get_count()

	def test_the_list_and_the_form(self):
		rows, count = self.listed(player=self.ann, state="failed")
		self.assertEqual(([row["name"] for row in rows], count), ([self.name], 1))
		self.assertEqual((rows[0]["tries"], rows[0]["error"]), (12, "no room"))
		self.assertEqual(self.listed(player=self.ann, state="applied"), ([], 0))
		doc = frappe.get_doc(DOCTYPE, self.name)
		self.assertEqual((doc.player, doc.season, doc.state), (self.ann, self.season, "failed"))
		self.assertEqual(json.loads(doc.payload)["items"][0]["question_id"], "q")
		self.assertIsNone(doc.next_try_at)
		for name in (f"none:{self.ann}", "nonsense"):
			with self.refused(frappe.DoesNotExistError):
				frappe.get_doc(DOCTYPE, name)

	def test_the_list_is_found_by_what_desk_sends(self):
		ann = [DOCTYPE, "player", "=", self.ann]
		for filters, count in (
			([ann, [DOCTYPE, "submission_id", "like", "%given-up%"]], 1),
			([ann, [DOCTYPE, "submission_id", "like", "%given%"]], 0),
			([ann, [DOCTYPE, "season", "=", self.season], [DOCTYPE, "state", "in", "failed,late"]], 1),
			({"player": self.ann, "state": ["=", "failed"]}, 1),
			({"player": self.ann, "state": "late"}, 0),
			([[DOCTYPE, "name", "=", self.name]], 1),
		):
			rows, counted = self.found(filters)
			self.assertEqual((len(rows), counted), (count, count), filters)
		self.assertEqual(len(frappe.get_all(DOCTYPE, filters={"player": self.ann, "state": "failed"})), 1)
		for field, operator in (("player", "like"), ("tries", "="), ("state", "!=")):
			with self.refused(frappe.ValidationError, field, operator):
				self.found([[DOCTYPE, field, operator, "1"]])

	def test_a_long_list_comes_in_pieces(self):
		names = [self.name, *(self.given_up(f"given-up-{number}") for number in range(4))]
		with patch.object(desk, "MOST", 2):
			for page_length, shown in ((20, names), (3, names[:3])):
				rows, count = self.found({"player": self.ann}, page_length)
				self.assertEqual(([row["name"] for row in rows], count), (shown, 5))

	def test_the_workspace_counts_what_failed(self):
		(shortcut,) = (
			row
			for row in frappe.get_doc("Workspace", "Memora SRS").shortcuts
			if row.label == "Failed Batches"
		)
		self.assertEqual(shortcut.link_to, DOCTYPE)
		filters = {**json.loads(shortcut.stats_filter), "player": self.ann}
		self.assertEqual(self.found(filters)[1], 1)

	def test_a_retry_queues_a_sweep(self):
		with patch("frappe.enqueue") as enqueue:
			self.assertEqual(desk.retry([self.name]), 1)
			self.assertEqual(enqueue.call_args.args, ("memora.services.srs_sweeper.sweep",))
			enqueue.side_effect = RedisError("away")
			self.assertEqual(desk.retry([self.name]), 1)
			enqueue.reset_mock()
			self.assertEqual(desk.retry([f"none:{self.ann}"]), 0)
			enqueue.assert_not_called()
		self.assertEqual(self.state(), "pending")

	def test_a_submit_is_retried_and_applied_by_the_next_sweep(self):
		self.assertEqual(desk.retry(json.dumps([self.name])), 1)
		self.assertEqual(self.state(), "pending")
		frappe.db.sql(
			"UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 DAY WHERE player = %s",
			(self.ann,),
		)
		frappe.db.commit()
		SRSPersistenceService().sweep()
		# Or the sweep that was queued, in a worker of the bench.
		wait_until(lambda: set(self.rows(self.ann)) == {"q"}, "the answer is in the table")

	def test_a_dismissed_submit_is_in_the_error_log(self):
		self.assertEqual(desk.dismiss([self.name]), 1)
		self.assertEqual(self.state(), "dismissed")
		frappe.db.rollback()
		log = {
			"method": "SRSPersistenceService",
			"error": ["like", f"Dismissed by Administrator:%{self.ann}%"],
		}
		self.addCleanup(frappe.db.delete, "Error Log", log)
		self.assertTrue(frappe.db.exists("Error Log", log))
		self.assertEqual(desk.retry(self.name), 0)
		self.assertEqual(self.rows(self.ann), {})

	def test_only_a_system_manager_may(self):
		doc = frappe.get_doc(DOCTYPE, self.name)
		for method in (doc.save, doc.delete):
			with self.assertRaises(frappe.PermissionError):
				method()
		frappe.set_user(self.ann)
		for refused in (
			lambda: desk.retry(self.name),
			lambda: desk.dismiss([self.name]),
			lambda: self.listed(player=self.ann),
			lambda: frappe.get_doc(DOCTYPE, self.name),
		):
			with self.assertRaises(frappe.PermissionError):
				refused()
		frappe.set_user("Administrator")
		self.assertEqual(self.state(), "failed")
