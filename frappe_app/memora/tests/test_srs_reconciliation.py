"""Reconciliation: through Python, over HTTP, by the scheduler, and the mail."""

import json
from unittest.mock import patch

import frappe

from memora.api import srs
from memora.services import srs_reconciliation
from memora.services.srs_reconciliation import SRSReconciliationService
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests.real_site import MemoraTestCase, request, token

DUE = {f"Q:{i}": "2026-01-19 10:00:00" for i in range(5)}


class TestSRSReconciliation(MemoraTestCase):
	def cached_student(self) -> str:
		"""A student with five cached questions."""
		student = self.student()
		self.add_rows(student, DUE)
		SRSRedisManager().clear_user_cache(student, self.season)
		self.assertTrue(SRSRedisManager().get_due_items_with_rehydration(student, self.season)[1])
		return student

	def test_what_is_wrong_is_put_right_and_remembered(self):
		student = self.cached_student()
		clean = SRSReconciliationService().reconcile_cache_with_database(1000, self.season)
		self.assertEqual((clean["compared"], clean["discrepancies_found"]), (5, 0))
		SRSRedisManager().remove_item(student, self.season, "Q:1")
		SRSRedisManager().add_item(student, self.season, "ghost", 1)
		found = srs_reconciliation.reconcile_cache_with_database(sample_size=1000, season_name=self.season)
		self.assertEqual((found["missing"], found["ghosts"], found["auto_corrected"]), (1, 1, 2))
		self.assertEqual(set(SRSRedisManager().get_all_scores(student, self.season)), set(DUE))
		self.assertEqual(srs_reconciliation.get_reconciliation_stats()[-2:], [clean, found])

	def test_who_is_not_cached_is_no_discrepancy(self):
		student = self.cached_student()
		SRSRedisManager().clear_user_cache(student, self.season)
		report = SRSReconciliationService().reconcile_cache_with_database(1000, self.season)
		self.assertEqual((report["compared"], report["discrepancies_found"]), (0, 0))

	def test_over_http(self):
		self.cached_student()
		args = {"sample_size": "100", "season_name": self.season}
		answer = request("POST", "memora.api.srs.trigger_reconciliation", token("Administrator"), data=args)
		self.assertEqual(answer.status_code, 200)
		report = answer.json["message"]
		self.assertEqual((report["sample_size"], report["compared"]), (100, 5))
		for key in ("discrepancies_found", "discrepancy_rate", "auto_corrected", "missing", "ghosts"):
			self.assertEqual(report[key], 0)
		self.assertIs(report["alert_triggered"], False)
		with self.refused(frappe.DoesNotExistError, "no such"):
			srs.trigger_reconciliation(100, season="no such")

	def test_the_scheduler_only_enqueues(self):
		with patch("frappe.enqueue") as enqueue:
			srs_reconciliation.enqueue_reconciliation()
		(method,), options = enqueue.call_args
		self.assertEqual(method, "memora.services.srs_reconciliation.reconcile_cache_with_database")
		self.assertEqual((options["queue"], options["job_id"]), ("long", srs_reconciliation.JOB))
		daily = frappe.get_hooks("scheduler_events")["daily"]
		self.assertIn("memora.services.srs_reconciliation.enqueue_reconciliation", daily)

	def test_system_managers_are_mailed_what_was_found(self):
		report = SRSReconciliationService().reconcile_cache_with_database(100, self.season)
		report = {**report, "compared": 1000, "discrepancies_found": 12, "discrepancy_rate": 0.012}
		report["kinds"] = {**report["kinds"], "ghosts": 12}
		with patch("frappe.sendmail") as sendmail:
			# As a job's arguments come.
			told = srs_reconciliation.tell(json.loads(json.dumps(report)))
		self.assertGreaterEqual(told, 1)
		mail = sendmail.call_args.kwargs
		self.assertEqual(mail["subject"], "SRS Cache Discrepancy Alert")
		self.assertEqual(len(mail["recipients"]), told)
		for words in ("12 of 1000", "1.2", "12 cached without a row", self.season):
			self.assertIn(words, mail["message"])

	def test_a_site_without_mail_has_a_row_in_the_error_log(self):
		report = SRSReconciliationService().reconcile_cache_with_database(100, self.season)
		with patch("frappe.sendmail", side_effect=frappe.OutgoingEmailError("no account")):
			self.assertEqual(srs_reconciliation.tell(report), 0)
		self.assertTrue(frappe.db.exists("Error Log", {"method": srs_reconciliation.TITLE}))
