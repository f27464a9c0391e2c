"""What follows from saving, renaming and deleting documents."""

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews
from memora.services import srs_documents
from memora.tests.real_site import MemoraTestCase, remove_student

TRACKER = "Player Memory Tracker"
SEASON = "Game Subscription Season"


class TestDocuments(MemoraTestCase):
	def due(self, student: str) -> list[str]:
		"""What the student is due to review, by the cache if it is warm."""
		srs_documents.call_pending()
		frappe.set_user(student)
		self.addCleanup(frappe.set_user, "Administrator")
		try:
			answer = reviews.get_review_session(season=self.season)
		finally:
			frappe.set_user("Administrator")
		return [question["question_id"] for question in answer["questions"]]

	def row(self, student: str, question="q", due=None):
		"""A row of the schedule, as Desk makes it; committed."""
		doc = frappe.get_doc(
			doctype=TRACKER,
			player=student,
			season=self.season,
			question_id=question,
			stability=1,
			next_review_date=due or add_days(now_datetime(), -1),
		).insert()
		frappe.db.commit()
		return doc

	def refused(self, exception, doc) -> str:
		with self.assertRaises(exception) as caught:
			doc.save()
		frappe.db.rollback()
		return str(caught.exception)

	def test_names_of_rows_are_ulids_in_order(self):
		first, second = srs_documents.ulid(), srs_documents.ulid()
		self.assertRegex(first, r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
		self.assertLessEqual(first[:10], second[:10])
		self.assertNotEqual(first, second)
		self.assertEqual(len(self.row(self.student()).name), 26)

	def test_an_edit_is_newer_than_every_review_and_seen_at_once(self):
		student = self.student()
		doc = self.row(student)
		self.assertEqual(self.due(student), ["q"])
		ahead = doc.review_version + 10**9
		frappe.db.set_value(TRACKER, doc.name, "review_version", ahead, update_modified=False)
		frappe.db.commit()
		doc.next_review_date = add_days(now_datetime(), 9)
		doc.save()
		self.assertGreater(doc.review_version, ahead)
		frappe.db.commit()
		self.assertEqual(self.due(student), [])

	def test_a_rollback_leaves_the_cache(self):
		student = self.student()
		doc = self.row(student)
		self.assertEqual(self.due(student), ["q"])
		doc.next_review_date = add_days(now_datetime(), 9)
		doc.save()
		frappe.db.rollback()
		self.assertEqual(self.due(student), ["q"])

	def test_a_deleted_row_is_due_no_more(self):
		student = self.student()
		doc = self.row(student)
		self.assertEqual(self.due(student), ["q"])
		frappe.delete_doc(TRACKER, doc.name)
		frappe.db.commit()
		self.assertEqual(self.due(student), [])

	def test_what_the_engine_cannot_read_is_refused(self):
		doc = self.row(self.student())
		for field, value in (
			("stability", 4.1),
			("stability", -1),
			("question_id", "q "),
			("player", "Guest"),
		):
			with self.subTest(field=field, value=value):
				edited = frappe.get_doc(TRACKER, doc.name)
				edited.set(field, value)
				self.refused(frappe.ValidationError, edited)

	def test_seasons_that_cannot_be_are_refused(self):
		for name in ("", " S", "S\n1", "S" * 141):
			with self.subTest(name), self.assertRaises(frappe.ValidationError):
				frappe.get_doc(doctype=SEASON, season_name=name).insert()
			frappe.db.rollback()
		backwards = frappe.get_doc(SEASON, self.season)
		backwards.update({"start_date": "2026-02-01", "end_date": "2026-01-31"})
		self.assertIn("End Date", self.refused(frappe.ValidationError, backwards))

	def test_a_season_cannot_be_renamed(self):
		with self.assertRaises(frappe.ValidationError):
			frappe.rename_doc(SEASON, self.season, f"{self.season}-2", force=True)
		frappe.db.rollback()

	def test_renaming_a_student_moves_the_schedule(self):
		old, new = self.student("old"), "memora-renamed@example.com"
		remove_student(new, self.season)
		self.addCleanup(remove_student, new, self.season)
		self.row(old)
		self.assertEqual(self.due(old), ["q"])
		frappe.rename_doc("User", old, new, force=True)
		frappe.db.commit()
		self.assertEqual(self.due(new), ["q"])

	def test_merging_students_keeps_the_newer_row_of_each_question(self):
		old, new = self.student("old"), self.student("new")
		later = add_days(now_datetime(), 9)
		self.row(old, "both")
		self.row(old, "old")
		self.row(new, "both", due=later)
		self.assertEqual(self.due(old), ["both", "old"])
		self.assertEqual(self.due(new), [])
		# Frappe 14 fails over these in every merge of Users; later ones delete them.
		frappe.delete_doc("Notification Settings", old)
		frappe.db.commit()
		frappe.rename_doc("User", old, new, merge=True, force=True)
		frappe.db.rollback()
		self.assertEqual(len(self.rows(old)), 2)
		frappe.rename_doc("User", old, new, merge=True, force=True)
		frappe.db.commit()
		self.assertEqual(set(self.rows(new)), {"both", "old"})
		self.assertEqual(self.due(new), ["old"])

	def test_a_deleted_student_is_forgotten_by_the_cache(self):
		student = self.student()
		self.row(student)
		self.assertEqual(self.due(student), ["q"])
		with self.assertRaises(frappe.LinkExistsError):
			frappe.delete_doc("User", student)
		frappe.db.rollback()
		frappe.delete_doc("User", student, force=True)
		frappe.db.commit()
		srs_documents.call_pending()
		self.assertIs(srs_documents.invalidate(student, self.season), False)
