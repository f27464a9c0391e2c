"""Safe Mode: reads from the table work, its limits are not built, and nothing pretends otherwise."""

from frappe.utils import add_days, now_datetime

from memora.api import reviews, utils
from memora.api.utils import SafeModeManager
from memora.tests.real_site import MemoraTestCase


class TestSRSSafeMode(MemoraTestCase):
	def test_limits_are_not_built(self):
		for place in (SafeModeManager(), utils):
			for method, args in {
				"is_safe_mode_active": (),
				"check_rate_limit": ("ann@example.com",),
				"get_global_request_count": (),
				"get_user_last_request": ("ann@example.com",),
				"reset_user_rate_limit": ("ann@example.com",),
				"reset_global_rate_limit": (),
			}.items():
				with self.subTest(place=place, method=method), self.refused(NotImplementedError):
					getattr(place, method)(*args)

	def test_the_limits_have_their_values(self):
		self.assertEqual((SafeModeManager.GLOBAL_LIMIT, SafeModeManager.USER_LIMIT_SECONDS), (500, 30))

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
