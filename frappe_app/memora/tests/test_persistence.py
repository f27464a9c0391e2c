"""Accepted answers into the table: the RQ job, single answers, the sweep, and what apps know of questions."""

import time
from datetime import datetime, timedelta
from unittest import mock
from zoneinfo import ZoneInfo

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews
from memora.services import srs_persistence, srs_question_info
from memora.services.srs_persistence import SRSPersistenceService
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests.real_site import MemoraTestCase, wait_until

HERE = "memora.tests.test_persistence."

MATH, GENERAL, ALGEBRA = (f"Memora Test {name}" for name in ("Mathematics", "General", "Algebra"))
ABOUT = (("Game Subject", MATH), ("Game Subject", GENERAL), ("Game Topic", ALGEBRA))


class TestPersistence(MemoraTestCase):
	active = True

	def setUp(self):
		super().setUp()
		self.ann = self.student()

	def submit(self, responses, submission_id) -> dict:
		"""Submit as the student does; arguments of the RQ job that it queues."""
		# An earlier run's job of the same name may still wait in the bench's queue: it would win.
		submission_id = f"{submission_id}-{frappe.generate_hash(length=8)}"
		frappe.set_user(self.ann)
		reviews.submit_review_session(responses, submission_id)
		frappe.set_user("Administrator")
		return {
			"responses": responses,
			"user": self.ann,
			"season": self.season,
			"submission_id": submission_id,
		}

	def test_a_batch_is_applied_once(self):
		self.add_rows(self.ann, {"q": add_days(now_datetime(), -1)})
		job = self.submit([{"question_id": "q", "quality": 5}, {"question_id": "new", "quality": 4}], "b-1")
		done = srs_persistence.persist_review_batch(**job)
		self.assertEqual(done, {"success": True, "processed_count": 2})
		first = self.rows(self.ann)
		self.assertEqual(set(first), {"q", "new"})
		self.assertGreater(first["q"].next_review_date, now_datetime())
		srs_persistence.persist_review_batch(**job)
		self.assertEqual(self.rows(self.ann), first)

	def test_what_the_table_gets_is_what_the_cache_shows(self):
		job = self.submit([{"question_id": "q", "quality": 4}], "b-1")
		srs_persistence.persist_review_batch(**job)
		manager = SRSRedisManager()
		# The submit has it filled in the background.
		wait_until(lambda: manager.get_all_scores(self.ann, self.season), "the schedule is filled")
		score = manager.get_all_scores(self.ann, self.season)["q"]
		# Frappe's own choice for a site that has none.
		zone = ZoneInfo(frappe.db.get_single_value("System Settings", "time_zone") or "Asia/Kolkata")
		due = datetime.fromtimestamp(score, zone).replace(tzinfo=None)
		self.assertEqual(self.rows(self.ann)["q"].next_review_date, due)

	def test_fields_that_later_versions_add_do_not_fail_the_job(self):
		job = self.submit([{"question_id": "q", "quality": 4}], "b-1")
		self.assertIs(srs_persistence.persist_review_batch(**job, of_a_later_version=1)["success"], True)

	def test_a_batch_of_the_old_implementation_is_applied(self):
		service = SRSPersistenceService()
		due = (now_datetime() + timedelta(days=3)).replace(microsecond=0)
		old = {"question_id": "old", "quality": 4, "new_stability": 2.0, "new_next_review_date": str(due)}
		done = service.persist_review_batch([old], self.ann, season_name=self.season, retry_count=1)
		self.assertEqual(done, {"success": True, "processed_count": 1})
		row = self.rows(self.ann)["old"]
		self.assertEqual((row.stability, row.next_review_date), (2.0, due))

	def test_bad_answers_are_refused_and_change_nothing(self):
		bad = [{"question_id": "good", "quality": 4}, {"question_id": "bad", "quality": 9}]
		with self.refused(frappe.ValidationError, "1", "quality"):
			srs_persistence.persist_review_batch(bad, self.ann, self.season)
		done = SRSPersistenceService().persist_review_batch(bad, self.ann, self.season)
		self.assertEqual((done["success"], done["processed_count"]), (False, 0))
		self.assertIn("quality", done["error"])
		self.assertEqual(self.rows(self.ann), {})

	def test_a_single_answer_is_in_the_table_at_once(self):
		response = {"question_id": "q", "quality": 4}
		self.assertIs(
			srs_persistence.persist_single_review(response, self.ann, season_name=self.season), True
		)
		self.assertEqual(set(self.rows(self.ann)), {"q"})

	def test_the_sweep_applies_what_no_job_did(self):
		self.submit([{"question_id": "q", "quality": 4}], "swept")
		frappe.db.sql(
			"""UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 DAY,
			next_try_at = next_try_at - INTERVAL 1 DAY WHERE player = %s""",
			(self.ann,),
		)
		frappe.db.commit()
		end = time.monotonic() + 60
		while not self.rows(self.ann) and time.monotonic() < end:
			SRSPersistenceService().sweep()
		self.assertEqual(set(self.rows(self.ann)), {"q"})

	def test_when_a_question_comes_again(self):
		due = SRSPersistenceService()._calculate_next_review({"question_id": "q", "quality": 4})
		self.assertIsNone(due.tzinfo)
		self.assertGreater(due, now_datetime())

	def test_what_became_of_a_job(self):
		frappe.set_user(self.ann)
		answer = reviews.submit_review_session([{"question_id": "q", "quality": 4}], "status-1")
		frappe.set_user("Administrator")
		job_id = answer["persistence_job_id"]
		for place in (SRSPersistenceService(), srs_persistence):
			status = place.get_persistence_status(job_id)
			self.assertIn(status["status"], ("queued", "started", "applied"))
		srs_persistence.persist_review_batch(
			[{"question_id": "q", "quality": 4}], self.ann, self.season, submission_id="status-1"
		)
		status = srs_persistence.get_persistence_status(job_id)
		self.assertEqual((status["job_id"], status["status"], status["error"]), (job_id, "applied", None))
		self.assertEqual(srs_persistence.get_persistence_status("a job")["status"], "unknown")

	def test_what_is_past_its_retention_is_deleted_once_in_a_while(self):
		frappe.db.sql("DELETE FROM memora_srs_state WHERE name = 'purge'")
		frappe.db.commit()
		self.assertEqual(set(srs_persistence.purge(1)), {"journal", "audit", "review_log"})

	def test_constants_that_operators_know(self):
		service = SRSPersistenceService
		self.assertEqual((service.MAX_RETRIES, service.RETRY_DELAY_BASE, service.RETRY_DELAY_MAX), (3, 1, 60))


class TestQuestionInfo(MemoraTestCase):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		for doctype, name in ABOUT:
			frappe.db.delete(doctype, {"name": name})
			frappe.get_doc(doctype=doctype, subject=MATH).insert(set_name=name)
			cls.addClassCleanup(frappe.delete_doc, doctype, name, force=True)
		cls.addClassCleanup(frappe.set_user, "Administrator")
		frappe.db.commit()

	def setUp(self):
		super().setUp()
		self.ann = self.student()

	def persist(self, *questions):
		responses = [{"question_id": question, "quality": 4} for question in questions]
		return srs_persistence.persist_review_batch(responses, self.ann, self.season)

	def about(self) -> dict:
		return {question: (row.subject, row.topic) for question, row in self.rows(self.ann).items()}

	def test_apps_say_what_new_questions_are_about(self):
		with hooks("knows_math", "knows_everything"):
			self.persist("math-1", "other-1", "unknown-1")
		self.assertEqual(
			self.about(),
			{"math-1": (MATH, ALGEBRA), "other-1": (GENERAL, None), "unknown-1": (None, None)},
		)

	def test_the_job_fills_what_others_applied(self):
		self.persist("math-1")
		before = self.rows(self.ann)["math-1"]
		with hooks("knows_math"):
			self.assertEqual(srs_persistence.fill_question_info(self.ann, self.season, ["math-1"]), 1)
			self.assertEqual(srs_persistence.fill_question_info(self.ann, self.season, ["math-1"]), 0)
		after = self.rows(self.ann)["math-1"]
		self.assertEqual((after.subject, after.topic), (MATH, ALGEBRA))
		for field in ("review_version", "next_review_date", "stability"):
			self.assertEqual(after[field], before[field])
		frappe.set_user(self.ann)
		self.assertEqual(reviews.get_review_session(season=self.season)["total_due"], 0)

	def test_without_a_hook_nothing_is_asked(self):
		self.persist("math-1")
		self.assertEqual(srs_persistence.fill_question_info(self.ann, self.season, ["math-1"]), 0)
		self.assertEqual(self.about(), {"math-1": (None, None)})

	def test_a_hook_that_fails_fails_no_batch(self):
		for hook in ("raises", "answers_wrongly", "commits_and_raises"):
			with self.subTest(hook), hooks(hook):
				self.assertIs(self.persist(f"q-{hook}")["success"], True)
				self.assertIn(f"q-{hook}", self.rows(self.ann))
				log = {"method": srs_question_info.ERROR_LOG_TITLE}
				self.assertTrue(frappe.db.exists("Error Log", log))
				frappe.db.delete("Error Log", log)
				frappe.db.commit()

	def test_a_hook_that_fails_takes_back_nothing_of_its_caller(self):
		frappe.db.set_value("Game Subject", MATH, "owner", self.ann, update_modified=False)
		with hooks("raises"):
			self.persist("math-1")
		self.assertEqual(frappe.db.get_value("Game Subject", MATH, "owner"), self.ann)
		frappe.db.rollback()
		self.assertNotEqual(frappe.db.get_value("Game Subject", MATH, "owner"), self.ann)


def hooks(*names):
	"""These functions of this module as the hooks ``srs_question_info``; other hooks stay."""
	real = frappe.get_hooks

	def get_hooks(hook=None, *args, **kwargs):
		return (
			[HERE + name for name in names] if hook == srs_question_info.HOOK else real(hook, *args, **kwargs)
		)

	return mock.patch("frappe.get_hooks", get_hooks)


def knows_math(ids):
	return {question: (MATH, ALGEBRA) for question in ids if question.startswith("math")}


def knows_everything(ids):
	return {question: [GENERAL, None] for question in ids if not question.startswith("unknown")}


def raises(ids):
	raise RuntimeError("the other app failed")


def commits_and_raises(questions):
	frappe.db.commit()
	raise RuntimeError("committed, then failed")


def answers_wrongly(ids):
	return dict.fromkeys(ids, MATH)
