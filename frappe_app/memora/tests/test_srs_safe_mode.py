"""Safe Mode: its limits, and reads from the table, with all servers there.

What happens while Redis is away: ``safe_mode_test.py``.
"""

import time

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews, utils
from memora.api.utils import SafeModeManager
from memora.services import engine, safe_mode_notices
from memora.tests.real_site import MemoraTestCase


class TestSRSSafeMode(MemoraTestCase):
	def setUp(self):
		super().setUp()
		utils.reset_global_rate_limit()
		self.addCleanup(utils.reset_global_rate_limit)

	def free(self, student):
		"""The student, who has not read yet, and will have read nothing after the test."""
		utils.reset_user_rate_limit(student)
		self.addCleanup(utils.reset_user_rate_limit, student)
		return student

	def test_with_redis_there_is_no_safe_mode(self):
		for place in (SafeModeManager(), utils):
			self.assertIs(place.is_safe_mode_active(), False)

	def test_a_student_may_ask_once(self):
		limits = SafeModeManager()
		ann = self.free(self.student())
		bob = self.free(self.student("bob"))
		before = time.time()
		self.assertIs(limits.check_rate_limit(ann), True)
		self.assertIs(limits.check_rate_limit(ann), False)
		self.assertIs(utils.check_rate_limit(ann), False)
		self.assertIs(utils.check_rate_limit(bob), True)
		# What was refused does not count.
		self.assertEqual(limits.get_global_request_count(), 2)
		self.assertAlmostEqual(limits.get_user_last_request(ann), before, delta=5)
		limits.reset_user_rate_limit(ann)
		self.assertIsNone(limits.get_user_last_request(ann))
		self.assertIs(limits.check_rate_limit(ann), True)
		limits.reset_global_rate_limit()
		self.assertEqual(limits.get_global_request_count(), 0)

	def test_reads_with_redis_are_not_counted(self):
		ann = self.free(self.student())
		self.add_rows(ann, {"q1": add_days(now_datetime(), -1)})
		for _ in range(3):
			engine.call("ReviewService", "get_review_session", ann, season=self.season)
		self.assertEqual(utils.get_global_request_count(), 0)
		self.assertIsNone(utils.get_user_last_request(ann))

	def test_the_limits_have_their_values(self):
		self.assertEqual((SafeModeManager.GLOBAL_LIMIT, SafeModeManager.USER_LIMIT_SECONDS), (500, 30))

	def test_administrators_are_told_in_desk_and_by_mail(self):
		began, ended = "2026-01-19T10:00:00.000000Z", "2026-01-19T10:05:00.000000Z"
		for event, ended_at in (("began", None), ("ended", ended)):
			with self.subTest(event=event):
				self.forget_notices()
				self.addCleanup(self.forget_notices)
				told = safe_mode_notices.tell(event, began, ended_at)
				logs = frappe.get_all(
					"Notification Log",
					filters={"subject": ["like", f"{safe_mode_notices.TITLE}%"]},
					fields=["for_user", "type", "email_content"],
				)
				self.assertEqual(len(logs), told)
				self.assertGreater(told, 0)
				self.assertEqual({log.type for log in logs}, {"Alert"})
				# The site's wall time.
				self.assertIn(safe_mode_notices._wall(began), logs[0].email_content)
				self.assertEqual(safe_mode_notices._wall(ended) in logs[0].email_content, bool(ended_at))
				# A site without an outgoing account logs that it has none.
				mails = frappe.db.count("Email Queue", {"message": ["like", f"%{safe_mode_notices.TITLE}%"]})
				self.assertEqual(mails + frappe.db.count("Error Log", {"method": safe_mode_notices.TITLE}), 1)

	def forget_notices(self):
		"""Remove what administrators were told by tests."""
		title = f"%{safe_mode_notices.TITLE}%"
		for doctype, field in (
			("Notification Log", "subject"),
			("Email Queue", "message"),
			("Error Log", "method"),
		):
			frappe.db.delete(doctype, {field: ["like", title]})
		frappe.db.commit()

	def test_the_most_urgent_questions_come_from_the_table(self):
		ann = self.student()
		self.add_rows(ann, {f"q{i}": add_days(now_datetime(), -i) for i in range(1, 13)})
		session = reviews.get_reviews_safe_mode(ann, self.season)
		self.assertEqual(
			[q["question_id"] for q in session["questions"]], [f"q{i}" for i in range(12, 2, -1)]
		)
		self.assertEqual(session["total_due"], 12)
		self.assertIs(session["is_degraded"], True)
		self.assertEqual(session["season"], self.season)

	def test_a_number_in_third_place_is_the_limit(self):
		ann = self.student()
		self.add_rows(ann, {f"q{i}": add_days(now_datetime(), -i) for i in range(1, 4)})
		session = reviews.get_reviews_safe_mode(ann, self.season, 2)
		self.assertEqual([q["question_id"] for q in session["questions"]], ["q3", "q2"])
