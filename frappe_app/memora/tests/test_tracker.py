"""Rows of a schedule that are edited by hand."""

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews
from memora.tests.real_site import MemoraTestCase

DOCTYPE = "Player Memory Tracker"


class TestTracker(MemoraTestCase):
	def setUp(self):
		super().setUp()
		self.ann = self.student()
		self.add_rows(self.ann, {"q": add_days(now_datetime(), -1)})
		self.assertEqual(self.due(), {"q"})

	def due(self):
		"""What the student is shown, from the cache that the first call fills."""
		frappe.set_user(self.ann)
		session = reviews.get_review_session(season=self.season)
		frappe.set_user("Administrator")
		return {question["question_id"] for question in session["questions"]}

	def row(self, question="q"):
		return frappe.get_doc(DOCTYPE, {"player": self.ann, "season": self.season, "question_id": question})

	def postpone(self):
		row = self.row()
		row.next_review_date = add_days(now_datetime(), 30)
		row.save()
		return row

	def test_names_are_ulids(self):
		self.assertRegex(self.row().name, "^[0-9A-HJKMNP-TV-Z]{26}$")

	def test_a_new_row_shows_once_it_is_committed(self):
		row = frappe.copy_doc(self.row())
		row.question_id = "second"
		row.insert()
		self.assertEqual(self.due(), {"q"})
		frappe.db.commit()
		self.assertEqual(self.due(), {"q", "second"})

	def test_an_edit_is_newer_than_what_was_and_shows(self):
		before = self.row().review_version
		after = self.postpone().review_version
		frappe.db.commit()
		self.assertGreater(after, before)
		self.assertEqual(self.due(), set())

	def test_an_edit_that_is_rolled_back_leaves_the_schedule(self):
		self.postpone()
		frappe.db.rollback()
		self.assertEqual(self.due(), {"q"})

	def test_a_deleted_row_is_gone_from_the_schedule(self):
		self.row().delete()
		self.assertEqual(self.due(), {"q"})
		frappe.db.commit()
		self.assertEqual(self.due(), set())

	def test_a_question_has_one_row(self):
		with self.assertRaises(Exception) as caught:
			frappe.copy_doc(self.row()).insert()
		self.assertIn(type(caught.exception).__name__, ("DuplicateEntryError", "UniqueValidationError"))

	def test_students_may_do_nothing_in_desk(self):
		# Otherwise Frappe lets tests pass its checks of roles.
		frappe.flags.in_test = False
		self.addCleanup(frappe.flags.__setitem__, "in_test", True)
		frappe.set_user(self.ann)
		for doctype in (
			DOCTYPE,
			"Archived Memory Tracker",
			"Game Subscription Season",
			"Game Subject",
			"Game Topic",
		):
			for permission in ("read", "write", "create", "delete"):
				self.assertFalse(frappe.has_permission(doctype, permission), f"{permission} {doctype}")
