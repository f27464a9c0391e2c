"""Schedules in Redis, by the names that existing code uses."""

import time
from unittest.mock import patch

import frappe
import redis
from frappe.utils import add_days, add_to_date, now_datetime

from memora.services import srs_rebuild, srs_redis_manager
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests.real_site import MemoraTestCase

HOUR = 3600


class TestSRSRedis(MemoraTestCase):
	def setUp(self):
		super().setUp()
		self.manager = SRSRedisManager()
		self.ann = self.student()
		self.now = float(int(time.time()))

	def test_due_items_are_those_whose_time_has_come_most_overdue_first(self):
		items = {"later": self.now + HOUR, "new": self.now - 1, "old": self.now - HOUR}
		self.assertIs(self.manager.add_batch(self.ann, self.season, items), True)
		self.assertEqual(self.manager.get_due_items(self.ann, self.season), ["old", "new"])
		self.assertEqual(self.manager.get_due_items(self.ann, self.season, 1), ["old"])
		self.assertEqual(self.manager.count_due_items(self.ann, self.season), 2)
		self.assertEqual(self.manager.get_all_scores(self.ann, self.season), items)

	def test_an_item_moves_and_goes(self):
		self.assertIs(self.manager.add_item(self.ann, self.season, "q", self.now - HOUR), True)
		self.assertIs(self.manager.add_item(self.ann, self.season, "q", self.now + HOUR), True)
		self.assertEqual(self.manager.get_all_scores(self.ann, self.season), {"q": self.now + HOUR})
		self.assertIs(self.manager.remove_item(self.ann, self.season, "q"), True)
		self.assertIs(self.manager.remove_item(self.ann, self.season, "q"), False)

	def test_a_schedule_that_is_not_cached_is_filled_from_the_table(self):
		self.add_rows(self.ann, {"due": add_days(now_datetime(), -1), "later": add_days(now_datetime(), 1)})
		self.assertEqual(self.manager.get_due_items(self.ann, self.season), [])
		filled = self.manager.get_due_items_with_rehydration(self.ann, self.season)
		self.assertEqual(filled, (["due"], True))
		self.assertEqual(self.manager.get_due_items_with_rehydration(self.ann, self.season), (["due"], False))

	def test_an_item_written_to_a_missing_key_does_not_hide_the_table(self):
		due = {f"q{i}": add_to_date(now_datetime(), minutes=-i) for i in range(1, 6)}
		self.add_rows(self.ann, due)
		self.manager.clear_user_cache(self.ann, self.season)
		self.manager.add_item(self.ann, self.season, "q1", self.now + HOUR)
		items, _filled = self.manager.get_due_items_with_rehydration(self.ann, self.season)
		self.assertEqual(items, ["q5", "q4", "q3", "q2"])

	def test_a_student_without_rows_is_looked_up_once(self):
		self.assertEqual(self.manager.get_due_items_with_rehydration(self.ann, self.season), ([], True))
		self.assertEqual(self.manager.get_due_items_with_rehydration(self.ann, self.season), ([], False))

	def test_stats_and_clearing(self):
		self.manager.add_batch(self.ann, self.season, {"a": self.now - 1, "b": self.now + HOUR})
		stats = self.manager.get_cache_stats(self.ann, self.season)
		self.assertEqual((stats["total_items"], stats["due_items"]), (2, 1))
		self.assertGreater(stats["memory_usage_bytes"], 0)
		self.assertIs(self.manager.clear_user_cache(self.ann, self.season), True)
		self.assertIs(self.manager.clear_user_cache(self.ann, self.season), False)
		self.assertEqual(self.manager.get_cache_stats(self.ann, self.season)["total_items"], 0)

	def test_existing_tools_find_the_key_through_redis_py(self):
		self.manager.add_item(self.ann, self.season, "q", self.now, ttl=100)
		key = self.manager._make_key(self.ann, self.season)
		self.assertTrue(key.endswith(f"srs:{self.ann}:{self.season}"))
		self.assertIsInstance(self.manager.redis, redis.Redis)
		self.assertAlmostEqual(self.manager.redis.zscore(key, "q"), self.now, places=5)
		self.assertLessEqual(self.manager.redis.ttl(key), 100)
		self.assertIs(self.manager.is_available(), True)

	def test_functions_beside_the_methods_and_both_names_of_the_season(self):
		said = {"user": self.ann, "season_name": self.season}
		self.assertIs(srs_redis_manager.add_item(question_id="q", next_review_ts=1.0, **said), True)
		self.assertEqual(srs_redis_manager.get_due_items(**said), ["q"])
		self.assertEqual(srs_redis_manager.get_all_scores(self.ann, season=self.season), {"q": 1.0})
		with self.refused(TypeError, "season"):
			srs_redis_manager.get_due_items(season=self.season, **said)

	def test_bad_arguments_are_refused_by_name(self):
		with self.refused(frappe.ValidationError, "limit"):
			self.manager.get_due_items(self.ann, self.season, 0)
		with self.refused(frappe.ValidationError):
			self.manager.add_item(self.ann, self.season, "", 1.0)

	def test_a_season_is_rebuilt_looked_at_and_cleared(self):
		self.add_rows(self.ann, {"due": add_days(now_datetime(), -1), "later": add_days(now_datetime(), 1)})
		self.manager.clear_user_cache(self.ann, self.season)
		report = self.manager.rebuild_season_cache(season=self.season)
		self.assertEqual(report["status"], "completed")
		self.assertGreaterEqual(report["total_keys"], 1)
		self.assertEqual(self.manager.get_due_items(self.ann, self.season), ["due"])
		self.assertEqual(self.manager.get_rebuild_status(self.season)["note"]["state"], "completed")
		status = srs_redis_manager.get_cache_status()
		self.assertIs(status["redis_connected"], True)
		self.assertGreaterEqual(status["keys_by_season"][self.season], 1)
		self.assertGreaterEqual(srs_redis_manager.clear_season_cache(self.season), 1)
		self.assertEqual(self.manager.get_due_items(self.ann, self.season), [])
		self.assertNotIn(self.season, self.manager.get_cache_status()["keys_by_season"])

	def test_desk_hears_of_a_rebuild(self):
		self.add_rows(self.ann, {"due": add_days(now_datetime(), -1)})
		with patch("frappe.publish_realtime") as publish:
			srs_rebuild.run(self.season)
		event, message = publish.call_args.args
		self.assertEqual((event, message["season"]), ("cache_rebuild", self.season))
		self.assertEqual((message["status"], message["done"]), ("completed", message["total"]))
		with patch("frappe.publish_realtime") as publish, self.refused(frappe.DoesNotExistError, "no such"):
			srs_rebuild.run("no such")
		# The Error Log tells Desk of its new row, too.
		told = [call.args[1] for call in publish.call_args_list if call.args[:1] == ("cache_rebuild",)]
		self.assertEqual(told[-1]["status"], "failed")
		logged = frappe.get_all("Error Log", {"method": "cache_rebuild"}, pluck="error")
		self.assertTrue(any("no such" in text for text in logged))

	def test_switching_the_cache_of_a_season_off_clears_and_on_rebuilds(self):
		doc = frappe.get_doc("Game Subscription Season", self.season)
		for enable, job in ((0, "clear_if_off"), (1, "run")):
			with patch("frappe.enqueue") as enqueue:
				doc.enable_redis = enable
				doc.save()
				frappe.db.commit()
			called = [call.args[0] for call in enqueue.call_args_list]
			if frappe.__version__.startswith("14."):
				# There a job queues the job.
				self.assertIn("memora.services.srs_rebuild.switched", called)
				continue
			self.assertEqual(called, [f"memora.services.srs_rebuild.{job}"])
			self.assertEqual(enqueue.call_args.kwargs["queue"], "long")
		with patch("frappe.enqueue") as enqueue:
			doc.save()
			frappe.db.commit()
		enqueue.assert_not_called()
		self.assertEqual(srs_rebuild.clear_if_off(self.season), 0)
