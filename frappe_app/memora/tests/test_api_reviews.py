"""The two requests of a student, through all of Frappe."""

import json

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews
from memora.tests.real_site import MemoraTestCase, request, token

READ = "memora.api.reviews.get_review_session"
SUBMIT = "memora.api.reviews.submit_review_session"


class TestReviews(MemoraTestCase):
	active = True

	def setUp(self):
		super().setUp()
		self.ann = self.student()
		self.login = token(self.ann)

	def read(self, **args):
		return request("GET", READ, self.login, query_string=args)

	def submit(self, responses, headers=None, **args):
		body = {"responses": responses, **args}
		return request("POST", SUBMIT, {**self.login, **(headers or {})}, json=body)

	def assert_refused(self, answer, status, exc_type, *words):
		self.assertEqual(answer.status_code, status, answer.text)
		self.assertEqual(answer.json["exc_type"], exc_type)
		self.assertEqual(answer.content_type, "application/json")
		messages = [json.loads(m)["message"] for m in json.loads(answer.json.get("_server_messages", "[]"))]
		for word in words:
			self.assertIn(word, " ".join(messages))

	def test_a_student_reads_what_is_due(self):
		due = {"Stage-1:q1": add_days(now_datetime(), -1), "q2": add_days(now_datetime(), -2)}
		self.add_rows(self.ann, {**due, "later": add_days(now_datetime(), 1)}, stability=2.5)
		answer = self.read(limit="1")
		self.assertEqual(answer.status_code, 200, answer.text)
		session = answer.json["message"]
		self.assertEqual((session["total_due"], session["is_degraded"]), (2, False))
		self.assertEqual(session["season"], self.season)
		self.assertEqual(
			session["questions"],
			[
				{
					"question_id": "q2",
					"stage_id": "q2",
					"stability": 2.5,
					"next_review_date": due["q2"].isoformat(),
					"subject": None,
					"topic": None,
				}
			],
		)

	def test_a_submit_shows_in_the_next_read(self):
		self.add_rows(self.ann, {"q": add_days(now_datetime(), -1)})
		self.assertEqual(self.read().json["message"]["total_due"], 1)
		responses = [{"question_id": "q", "quality": 4}, {"question_id": "new", "quality": 5}]
		answer = self.submit(responses)
		self.assertEqual(answer.status_code, 200, answer.text)
		taken = answer.json["message"]
		self.assertEqual((taken["status"], taken["processed"], taken["xp_earned"]), ("success", 2, 45))
		self.assertIn("srs_persist_", taken["persistence_job_id"])
		self.assertEqual(self.read().json["message"]["total_due"], 0)

	def test_a_form_says_the_same_as_json(self):
		responses = [{"question_id": "q", "quality": 4, "response_time_ms": 1500}]
		form = {"responses": json.dumps(responses), "submission_id": "form-1"}
		first = request("POST", SUBMIT, self.login, data=form)
		self.assertEqual(first.status_code, 200, first.text)
		again = self.submit(responses, submission_id="form-1")
		self.assertEqual(first.json, again.json)

	def test_ids_in_the_headers_name_a_submit(self):
		responses = [{"question_id": "q", "quality": 4}]
		for name in ("Idempotency-Key", "X-Memora-Request-Id"):
			with self.subTest(name):
				first = self.submit(responses, {name: f"id-{name}"})
				again = self.submit(responses, {name: f"id-{name}"})
				other = self.submit(responses, {name: f"other-{name}"})
				self.assertEqual(first.json, again.json)
				self.assertNotEqual(first.json, other.json)
		answer = self.submit(responses, {"Idempotency-Key": "ä"})
		self.assert_refused(answer, 417, "ValidationError")

	def test_the_same_id_with_other_answers_is_a_conflict(self):
		self.submit([{"question_id": "q", "quality": 4}], submission_id="twice")
		answer = self.submit([{"question_id": "q", "quality": 5}], submission_id="twice")
		self.assert_refused(answer, 409, "ConflictError", "twice")

	def test_bad_reads_are_refused_by_name(self):
		for args, word in (
			({"limit": "0"}, "limit"),
			({"limit": "51"}, "limit"),
			({"limit": "x"}, "limit"),
			({"subject": ""}, "subject"),
		):
			with self.subTest(args):
				self.assert_refused(self.read(**args), 417, "ValidationError", word)
		self.assert_refused(self.read(season="no such"), 404, "DoesNotExistError", "no such")

	def test_bad_submits_are_refused_by_index_and_field(self):
		good = {"question_id": "q", "quality": 4}
		for bad, word in (
			({**good, "quality": 6}, "quality"),
			({**good, "question_id": ""}, "question_id"),
			({**good, "response_time_ms": -1}, "response_time_ms"),
			({"quality": 4}, "question_id"),
		):
			with self.subTest(bad):
				self.assert_refused(self.submit([good, bad]), 417, "ValidationError", "1", word)
		for responses in ([], [good] * 51, "no json", None):
			with self.subTest(responses):
				self.assert_refused(self.submit(responses), 417, "ValidationError", "responses")
		self.assertEqual(self.read().json["message"]["total_due"], 0)

	def test_guests_and_wrong_methods_are_refused(self):
		for method in (READ, SUBMIT):
			self.assert_refused(request("POST", method), 403, "PermissionError", "not permitted")
		answer = request("GET", SUBMIT, self.login)
		self.assert_refused(answer, 403, "PermissionError", "Not permitted")
		frappe.set_user("Guest")
		for function in (reviews.get_review_session, reviews.submit_review_session):
			with self.refused(frappe.PermissionError):
				function()

	def test_students_see_and_change_only_their_own(self):
		bob = self.student("bob")
		self.add_rows(bob, {"q": add_days(now_datetime(), -1)})
		self.assertEqual(self.read(user=bob, player=bob).json["message"]["questions"], [])
		self.submit([{"question_id": "q", "quality": 5}], user=bob, player=bob)
		frappe.set_user(bob)
		self.assertEqual(reviews.get_review_session()["total_due"], 1)
