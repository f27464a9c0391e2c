"""Partitions by the names that existing code uses."""

import frappe
from frappe.utils import now_datetime

from memora.services import partition_manager
from memora.services.partition_manager import PartitionManager
from memora.tests.real_site import MemoraTestCase, make_season, remove_season


class TestPartitionManager(MemoraTestCase):
	def test_a_season_has_its_partition_when_its_insert_returns(self):
		partitions = PartitionManager()
		self.assertIs(partitions.is_table_partitioned(), True)
		self.assertIs(partitions.check_partition_exists(self.season), True)
		self.assertIs(partitions.create_season_partition(self.season), False)
		self.assertEqual(frappe.db.get_value("Game Subscription Season", self.season, "partition_created"), 1)

	def test_names_that_differ_only_in_forbidden_characters_have_two(self):
		twin = self.season.replace("-", " ")
		self.addCleanup(remove_season, twin)
		make_season(twin)
		seasons = [p["season"] for p in PartitionManager().get_all_partitions()]
		self.assertEqual([seasons.count(self.season), seasons.count(twin)], [1, 1])
		names = [p["partition_name"] for p in PartitionManager().get_all_partitions()]
		self.assertEqual(len(names), len({name.lower() for name in names}))

	def test_stats_have_what_operators_read(self):
		self.add_rows(self.student(), {"q": now_datetime()})
		(stats,) = PartitionManager().get_partition_stats(self.season)
		self.assertEqual(set(stats), {"partition_name", "season", "rows", "data_bytes", "index_bytes"})
		self.assertGreater(stats["data_bytes"], 0)
		self.assertIn(
			stats["partition_name"], [p["partition_name"] for p in partition_manager.get_all_partitions()]
		)

	def test_functions_beside_the_methods_and_both_names_of_the_season(self):
		self.assertIs(partition_manager.check_partition_exists(season=self.season), True)
		self.assertIs(partition_manager.create_season_partition(season_name=self.season), False)
		self.assertEqual(len(partition_manager.get_partition_stats(season=self.season)), 1)
		self.assertIs(partition_manager.is_table_partitioned(), True)
		self.assertIs(partition_manager.create_composite_index(), False)

	def test_what_is_no_season_is_refused(self):
		for name in ("", " outer blanks ", "x" * 141):
			with self.refused(frappe.ValidationError):
				PartitionManager().create_season_partition(name)
		with self.refused(frappe.DoesNotExistError):
			PartitionManager().create_season_partition("no such season")
