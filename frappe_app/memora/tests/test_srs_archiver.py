"""A season goes into the archive and comes back; retention; the doors to it."""

from unittest.mock import patch

import frappe
from frappe.utils import add_days, now_datetime

from memora.api import reviews, srs
from memora.services import srs_archiver
from memora.services.srs_archiver import SRSArchiver
from memora.tests.real_site import SEASON, MemoraTestCase

ARCHIVE = "tabArchived Memory Tracker"


class TestSRSArchiver(MemoraTestCase):
	def setUp(self):
		super().setUp()
		self.ann = self.student()
		self.add_rows(self.ann, {"A:1": now_datetime(), "A:2": add_days(now_datetime(), 1)})
		# Closed long enough ago for every process to know.
		self.set_season(modified=add_days(now_datetime(), -1), is_active=0)
		self.addCleanup(self.bring_back)

	def bring_back(self):
		"""Whatever a test left of the archive."""
		frappe.db.rollback()
		if srs_archiver.get_archive_status(self.season)["state"] in ("archived", "restoring"):
			srs_archiver.restore_season(self.season)
		frappe.db.delete("Archived Memory Tracker", {"season": self.season})
		frappe.db.commit()

	def set_season(self, **fields):
		frappe.db.set_value(SEASON, self.season, fields, update_modified=False)
		frappe.db.commit()

	def archived(self) -> list:
		frappe.db.commit()
		return frappe.get_all(
			"Archived Memory Tracker",
			{"season": self.season},
			["question_id", "archived_at"],
			order_by="question_id",
		)

	def test_a_season_is_archived_and_restored(self):
		with patch("frappe.publish_realtime") as publish:
			report = srs_archiver.archive_season(season=self.season)
		self.assertEqual((report["status"], report["records_archived"]), ("completed", 2))
		self.assertIn("cache_keys_deleted", report)
		event, message = publish.call_args.args
		self.assertEqual((event, message["season"]), ("season_archive", self.season))
		self.assertEqual((message["status"], message["report"]), ("completed", report))
		self.assertEqual(self.rows(self.ann), {})
		self.assertEqual([row.question_id for row in self.archived()], ["A:1", "A:2"])
		season = frappe.get_doc(SEASON, self.season)
		self.assertEqual(season.archived_on, self.archived()[0].archived_at)
		self.assertEqual(season.partition_created, 0)
		status = SRSArchiver().get_archive_status(season_name=self.season)
		self.assertEqual((status["state"], status["records_archived"]), ("archived", 2))
		schedule = srs_archiver.get_archived_schedule(self.ann, self.season)
		self.assertEqual([question["question_id"] for question in schedule], ["A:1", "A:2"])
		frappe.set_user(self.ann)
		with self.refused(frappe.ValidationError, self.season, "archived"):
			reviews.get_review_session(season=self.season)
		frappe.set_user("Administrator")
		self.assertEqual(srs_archiver.restore_season(self.season)["records_restored"], 2)
		self.assertEqual(set(self.rows(self.ann)), {"A:1", "A:2"})
		self.assertIsNone(frappe.get_doc(SEASON, self.season).archived_on)

	def test_an_active_season_is_refused_and_desk_hears_of_it(self):
		self.set_season(is_active=1)
		self.addCleanup(self.set_season, is_active=0)
		with (
			patch("frappe.publish_realtime") as publish,
			self.refused(frappe.ValidationError, "is active"),
		):
			SRSArchiver().archive_season(self.season)
		self.assertEqual(publish.call_args.args[1]["status"], "failed")
		with self.refused(frappe.ValidationError, "is active"):
			srs.archive_season(self.season, confirm=1)
		self.assertEqual(len(self.rows(self.ann)), 2)
		with self.refused(frappe.DoesNotExistError, "no such"):
			SRSArchiver().archive_season("no such")

	def test_small_seasons_at_once_large_ones_in_a_job(self):
		with patch.object(srs, "AT_ONCE", 1), patch("frappe.enqueue") as enqueue:
			answer = srs.archive_season(season_name=self.season, confirm="1")
		self.assertEqual(answer["status"], "started")
		called = enqueue.call_args.kwargs
		self.assertEqual((called["queue"], called["job_id"]), ("long", answer["job_id"]))
		self.assertEqual(len(self.rows(self.ann)), 2)
		# What the worker does then.
		report = srs_archiver.run(called["function"], called["kwargs"])
		self.assertEqual(report["records_archived"], 2)
		srs_archiver.restore_season(self.season)
		answer = srs.archive_season(self.season, confirm=True)
		self.assertEqual((answer["status"], answer["records_archived"]), ("completed", 2))
		self.assertEqual(srs.get_archive_status(season_name=self.season)["state"], "archived")

	def test_a_job_that_fails_is_in_the_error_log(self):
		with self.refused(frappe.DoesNotExistError):
			srs_archiver.run("archive_season", {"season_name": "no such"})
		logged = frappe.get_all("Error Log", {"method": "SRSArchiver"}, pluck="error")
		self.assertTrue(any("no such" in text for text in logged))

	def test_seasons_that_ask_for_it_are_archived_once_they_are_over(self):
		self.set_season(auto_archive=1, end_date=add_days(now_datetime(), 1))
		self.addCleanup(self.set_season, auto_archive=0)
		report = srs_archiver.process_auto_archive()
		self.assertIn(self.season, report["skipped"])
		self.set_season(end_date=add_days(now_datetime(), -2), start_date=add_days(now_datetime(), -9))
		report = srs_archiver.process_auto_archive()
		self.assertIn(self.season, report["archived"])
		self.assertEqual(len(self.archived()), 2)

	def test_archived_rows_are_flagged_after_three_years_and_deleted_when_confirmed(self):
		srs_archiver.archive_season(self.season)
		frappe.db.sql(
			f"UPDATE `{ARCHIVE}` SET archived_at = %s WHERE season = %s AND question_id = 'A:1'",  # noqa: S608
			(add_days(now_datetime(), -3 * 366 - 1), self.season),
		)
		frappe.db.commit()
		self.assertGreaterEqual(srs_archiver.flag_eligible_for_deletion()["flagged_count"], 1)
		self.assertEqual(srs.get_archive_status(self.season)["eligible_for_deletion"], 1)
		with self.refused(frappe.ValidationError, "confirm"):
			srs_archiver.delete_eligible_records(self.season)
		with patch.object(srs, "AT_ONCE", 0), patch("frappe.enqueue") as enqueue:
			self.assertEqual(
				srs.delete_eligible_archived_records(self.season, confirm=1)["status"], "started"
			)
		self.assertEqual(enqueue.call_args.kwargs["queue"], "long")
		deleted = srs.delete_eligible_archived_records(season_name=self.season, confirm=1)
		self.assertEqual(deleted, {"status": "completed", "deleted_count": 1})
		self.assertEqual([row.question_id for row in self.archived()], ["A:2"])

	def test_the_scheduler_only_enqueues(self):
		for function, does in (
			(srs_archiver.enqueue_auto_archive, "process_auto_archive"),
			(srs_archiver.enqueue_retention, "flag_eligible_for_deletion"),
		):
			with patch("frappe.enqueue") as enqueue:
				function()
			called = enqueue.call_args.kwargs
			self.assertEqual((called["queue"], called["function"]), ("long", does))
			self.assertIn("timeout", called)
		hooks = frappe.get_hooks("scheduler_events", app_name="memora")
		self.assertIn("memora.services.srs_archiver.enqueue_auto_archive", hooks["daily"])
		self.assertIn("memora.services.srs_archiver.enqueue_retention", hooks["cron"]["0 2 * * 0"])
