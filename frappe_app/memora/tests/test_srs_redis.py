"""Schedules in Redis, by the names that existing code uses."""

import time

import frappe
import redis
from frappe.utils import add_days, add_to_date, now_datetime

from memora.services import srs_redis_manager
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

	def test_rebuilding_a_season_is_not_built(self):
		for rebuild in (self.manager.rebuild_season_cache, srs_redis_manager.rebuild_season_cache):
			with self.refused(NotImplementedError):
				rebuild(season=self.season)
