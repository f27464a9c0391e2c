"""What administrators may do, and nobody else."""

from unittest.mock import patch

import frappe

from memora.api import srs
from memora.services import engine
from memora.services.srs_archiver import SRSArchiver
from memora.tests.real_site import MemoraTestCase, request, token

ACTIONS = (
	"rebuild_season_cache",
	"trigger_reconciliation",
	"archive_season",
	"delete_eligible_archived_records",
)
LOOKS = ("get_season_infrastructure", "get_cache_status", "get_archive_status", "get_metrics")


class TestAdministration(MemoraTestCase):
	def test_only_system_managers(self):
		login = token(self.student())
		for method in ACTIONS + LOOKS:
			with self.subTest(method):
				args = {"season": self.season, "confirm": 1}
				self.assertEqual(request("POST", f"memora.api.srs.{method}", data=args).status_code, 403)
				answer = request("POST", f"memora.api.srs.{method}", login, data=args)
				self.assertEqual(answer.status_code, 403)
				self.assertIn("System Manager", answer.text)

	def test_what_acts_takes_no_get(self):
		login = token("Administrator")
		for method in ACTIONS:
			with self.subTest(method):
				self.assertEqual(request("GET", f"memora.api.srs.{method}", login).status_code, 403)

	def test_what_cannot_be_undone_wants_a_confirmation(self):
		for no in (False, 0, "0", "false", "", None, "no", "maybe"):
			with self.subTest(no):
				with self.refused(frappe.ValidationError, "confirm"):
					srs.archive_season(self.season, confirm=no)
				with self.refused(frappe.ValidationError, "confirm"):
					srs.delete_eligible_archived_records(confirm=no)
		for yes in (True, 1, "1", "true"):
			with patch.object(SRSArchiver, "archive_season", return_value={"status": "completed"}) as archive:
				self.assertEqual(srs.archive_season(self.season, confirm=yes), {"status": "completed"})
			archive.assert_called_once_with(self.season)

	def test_seasons_must_exist(self):
		for method in (srs.get_season_infrastructure, srs.rebuild_season_cache, srs.get_archive_status):
			with self.refused(frappe.DoesNotExistError, "no such"):
				method(season="no such")
			for nothing in (None, "", 5):
				with self.refused(frappe.ValidationError, "season"):
					method(season=nothing)

	def test_a_sample_has_its_bounds(self):
		for size in (99, 100_001, "", "x", None, -100, 1.5):
			with self.refused(frappe.ValidationError, "sample_size"):
				srs.trigger_reconciliation(size)

	def test_infrastructure_of_a_season(self):
		state = srs.get_season_infrastructure(season_name=self.season)
		self.assertEqual((state["engine_version"], state["engine_problem"]), (engine.version(), None))
		self.assertEqual(state["partition"]["season"], self.season)
		self.assertEqual(
			(state["enable_redis"], state["redis_connected"], state["can_rebuild"]), (True, True, True)
		)

	def test_the_state_of_the_cache(self):
		status = srs.get_cache_status()
		self.assertIs(status["redis_connected"], True)
		self.assertIs(status["is_safe_mode"], False)
		self.assertGreater(status["memory_used_mb"], 0)
		self.assertEqual(status["total_keys"], sum(status["keys_by_season"].values()))

	def test_how_the_site_is(self):
		metrics = srs.get_metrics()
		self.assertEqual([site["site"] for site in metrics["sites"]], [frappe.local.site])
		self.assertIs(metrics["sites"][0]["mariadb_answers"], True)
		self.assertIs(metrics["ready"], True, metrics["problems"])
		text = srs.get_metrics(as_text="1")
		self.assertIn(f'memora_srs_safe_mode_active{{site="{frappe.local.site}"}} 0', text)

	def test_a_rebuild_is_queued_once(self):
		with patch("frappe.enqueue") as enqueue:
			answer = srs.rebuild_season_cache(season_name=self.season)
			self.assertEqual(answer["status"], "started")
			self.assertIsInstance(answer["estimated_records"], int)
			self.assertEqual(enqueue.call_args.kwargs["queue"], "long")
			self.assertEqual(enqueue.call_args.kwargs["job_id"], answer["job_id"])
			# What Frappe says of a job that waits already.
			enqueue.return_value = None
			self.assertEqual(srs.rebuild_season_cache(self.season)["status"], "already_running")
			frappe.db.set_value("Game Subscription Season", self.season, "enable_redis", 0)
			with self.refused(frappe.ValidationError, "Redis"):
				srs.rebuild_season_cache(self.season)
			frappe.db.rollback()
