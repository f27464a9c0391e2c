"""Keys, indexes and partitions: made once, and left alone by Frappe afterwards."""

import importlib

import frappe

from memora.services import engine
from memora.tests.real_site import SEASON, MemoraTestCase

TRACKER = "Player Memory Tracker"
ARCHIVE = "Archived Memory Tracker"
DOCTYPES = (TRACKER, ARCHIVE, SEASON, "Game Subject", "Game Topic")


class TestSchema(MemoraTestCase):
	def shapes(self):
		return {d: frappe.db.sql(f"SHOW CREATE TABLE `tab{d}`")[0][1] for d in DOCTYPES}

	def test_the_tracker_has_its_key_and_indexes(self):
		shape = self.shapes()[TRACKER]
		for part in (
			"PRIMARY KEY (`name`,`season`)",
			"UNIQUE KEY `uq_pmt_player_season_question` (`player`,`season`,`question_id`)",
			"KEY `idx_pmt_player_season_review` (`player`,`season`,`next_review_date`)",
			"PARTITION BY LIST",
			"`review_version` bigint(20) NOT NULL DEFAULT 0",
		):
			self.assertIn(part, shape)

	def test_the_archive_has_the_same_key(self):
		shape = self.shapes()[ARCHIVE]
		self.assertIn("PRIMARY KEY (`name`,`season`)", shape)
		self.assertIn("PARTITION BY LIST", shape)
		for field in ("player", "season", "archived_at"):
			self.assertIn(f"(`{field}`)", shape)

	def test_frappes_schema_sync_finds_nothing_to_change(self):
		before = self.shapes()
		for doctype in DOCTYPES:
			frappe.db.updatedb(doctype)
		self.assertEqual(self.shapes(), before)

	def test_patches_find_nothing_to_do_on_a_migrated_site(self):
		before = self.shapes()
		for patch in ("fix_null_seasons", "setup_partitioning", "add_safe_mode_index"):
			importlib.import_module(f"memora.patches.v1_0.{patch}").execute()
		self.assertEqual(self.shapes(), before)
		self.assertIs(engine.call("Schema", "plan")["is_empty"], True)

	def test_a_lost_index_comes_back(self):
		before = self.shapes()[TRACKER]
		frappe.db.sql_ddl(f"ALTER TABLE `tab{TRACKER}` DROP INDEX idx_pmt_player_season_review")
		importlib.import_module("memora.patches.v1_0.add_safe_mode_index").execute()
		self.assertEqual(sorted(self.shapes()[TRACKER].split("\n")), sorted(before.split("\n")))
