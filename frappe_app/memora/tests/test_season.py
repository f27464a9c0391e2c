"""Seasons: their partitions, and what is refused."""

import frappe

from memora.api.srs import get_season_infrastructure
from memora.services.partition_manager import PartitionManager
from memora.tests.real_site import SEASON, MemoraTestCase, remove_season


class TestSeason(MemoraTestCase):
	def new_season(self, name, **fields):
		season = frappe.new_doc(SEASON)
		season.update({"season_name": name, **fields})
		self.addCleanup(remove_season, name)
		return season

	def test_its_partition_is_there_when_the_insert_returns(self):
		season = self.new_season("SEASON-TEST-NEW").insert()
		self.assertEqual(season.partition_created, 1)
		self.assertIs(PartitionManager().check_partition_exists(season.name), True)
		frappe.db.commit()
		self.assertEqual(frappe.db.get_value(SEASON, season.name, "partition_created"), 1)

	def test_making_the_partition_does_not_commit_the_season(self):
		self.new_season("SEASON-TEST-UNDONE").insert()
		frappe.db.rollback()
		self.assertFalse(frappe.db.exists(SEASON, "SEASON-TEST-UNDONE"))
		self.new_season("SEASON-TEST-UNDONE").insert()
		frappe.db.commit()
		self.assertEqual(len(PartitionManager().get_partition_stats("SEASON-TEST-UNDONE")), 1)

	def test_names_that_share_a_partition_name_have_partitions_of_their_own(self):
		names = [
			"SEASON-TEST A'B",
			'SEASON-TEST A"B',
			"SEASON-TEST A`B",
			"SEASON-TEST A%sB",
			"SEASON-TEST-é 🎓",
		]
		for name in names:
			self.new_season(name).insert()
		frappe.db.commit()
		found = {p["season"]: p["partition_name"] for p in PartitionManager().get_all_partitions()}
		self.assertEqual(len({found[name] for name in names}), len(names))

	def test_automatic_archiving_of_an_active_season_warns(self):
		self.new_season("SEASON-TEST-WARN", is_active=1, auto_archive=1).insert()
		self.assertTrue(any("active" in str(message) for message in frappe.local.message_log))
		frappe.db.rollback()

	def test_its_form_is_told_what_stands_behind_it(self):
		state = get_season_infrastructure(self.season)
		self.assertIsNone(state["engine_problem"])
		self.assertEqual(state["partition"]["season"], self.season)
		self.assertIs(state["redis_connected"], True)
