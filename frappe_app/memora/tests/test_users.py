"""What follows for schedules when a User is renamed, merged or deleted."""

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews
from memora.tests.real_site import MemoraTestCase, remove_student


class TestUsers(MemoraTestCase):
	active = True

	def setUp(self):
		super().setUp()
		self.ann = self.student()

	def due(self, student):
		return set(
			reviews.engine.call("SRSRedisManager", "get_due_items_with_rehydration", student, self.season)[0]
		)

	def add(self, student, stability, *questions):
		self.add_rows(student, dict.fromkeys(questions, add_days(now_datetime(), -1)), stability=stability)

	def stabilities(self, student):
		return {question: float(row.stability) for question, row in self.rows(student).items()}

	def rename(self, old, new, **kwargs):
		self.addCleanup(remove_student, new, self.season)
		frappe.rename_doc("User", old, new, force=True, **kwargs)

	def test_a_renamed_student_keeps_the_schedule(self):
		self.add(self.ann, 1, "q")
		self.assertEqual(self.due(self.ann), {"q"})
		self.rename(self.ann, f"new-{self.ann}")
		frappe.db.commit()
		self.assertEqual(self.stabilities(f"new-{self.ann}"), {"q": 1.0})
		self.assertEqual(self.due(f"new-{self.ann}"), {"q"})
		self.assertEqual(self.due(self.ann), set())

	def test_a_renaming_that_is_rolled_back_changes_nothing(self):
		self.add(self.ann, 1, "q")
		self.assertEqual(self.due(self.ann), {"q"})
		self.rename(self.ann, f"new-{self.ann}")
		frappe.db.rollback()
		self.assertEqual(self.stabilities(self.ann), {"q": 1.0})
		self.assertEqual(self.due(self.ann), {"q"})

	def test_answers_on_their_way_go_along(self):
		frappe.set_user(self.ann)
		reviews.submit_review_session([{"question_id": "answered", "quality": 4}])
		frappe.set_user("Administrator")
		new = f"new-{self.ann}"
		self.rename(self.ann, new)
		frappe.db.commit()
		waiting = frappe.db.sql(
			"SELECT player FROM memora_srs_journal WHERE player IN (%s, %s) AND applied_at IS NULL",
			(self.ann, new),
		)
		# None is left if a worker was quicker.
		self.assertIn([row[0] for row in waiting], ([new.encode()], []))

	def test_where_two_students_become_one_the_newer_state_stays(self):
		bob = self.student("bob")
		self.add(bob, 1, "ann is newer", "bob alone")
		self.add(self.ann, 2, "ann is newer", "bob is newer", "ann alone")
		self.add(bob, 3, "bob is newer")
		self.assertEqual(len(self.due(bob)), 3)
		self.rename(self.ann, bob, merge=True)
		frappe.db.commit()
		merged = {"ann is newer": 2.0, "bob is newer": 3.0, "ann alone": 2.0, "bob alone": 1.0}
		self.assertEqual(self.stabilities(bob), merged)
		self.assertEqual(self.due(bob), set(merged))
		self.assertEqual(self.stabilities(self.ann), {})

	def test_a_merge_that_is_rolled_back_loses_nothing(self):
		bob = self.student("bob")
		self.add(self.ann, 1, "q")
		self.add(bob, 2, "q")
		self.rename(self.ann, bob, merge=True)
		frappe.db.rollback()
		self.assertEqual((self.stabilities(self.ann), self.stabilities(bob)), ({"q": 1.0}, {"q": 2.0}))

	def test_rows_forbid_the_deletion(self):
		self.add(self.ann, 1, "q")
		with self.refused(frappe.LinkExistsError):
			frappe.delete_doc("User", self.ann)

	def test_a_deleted_student_leaves_no_schedule(self):
		self.add(self.ann, 1, "q")
		self.assertEqual(self.due(self.ann), {"q"})
		frappe.db.delete("Player Memory Tracker", {"player": self.ann})
		frappe.delete_doc("User", self.ann)
		frappe.db.commit()
		self.assertEqual(self.due(self.ann), set())
