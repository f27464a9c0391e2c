"""The tables through an app's life, on a real site: python -m memora.tests.schema_life SITE

Run it in a bench's folder ``sites`` with the bench's Python. It installs the app on no tables and
on old tables with rows, migrates, saves DocTypes, uninstalls, and compares SHOW CREATE TABLE
each time: all ways lead to the same tables. It destroys what the site has of this app, so the
site must have ``allow_tests``. Exit code 1 if something differs.
"""

import subprocess
import sys
from contextlib import contextmanager

import frappe

from memora.tests import old_tables

DOCTYPES = (
	"Player Memory Tracker",
	"Archived Memory Tracker",
	"Game Subscription Season",
	"Game Subject",
	"Game Topic",
)
NATIVE = ("memora_srs_journal", "memora_srs_audit", "memora_srs_review_log", "memora_srs_state")
TRACKER = "tabPlayer Memory Tracker"

# What each version of Frappe makes otherwise in new tables and leaves alone in old ones.
FRAMEWORKS = ("`docstatus`", "`idx`", "KEY `creation`", "KEY `modified`")


class Site:
	"""A site, and Frappe's commands for it."""

	def __init__(self, name: str):
		self.name = name

	def bench(self, *args: str) -> str:
		"""Run a command of Frappe as ``bench --site`` does; what it printed. Ends the run if it fails."""
		command = [sys.executable, "-m", "frappe.utils.bench_helper", "frappe", "--site", self.name, *args]
		done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
		if done.returncode:
			sys.exit(f"bench {' '.join(args)} failed:\n{done.stdout}{done.stderr}")
		return done.stdout + done.stderr

	@contextmanager
	def connected(self):
		"""Frappe's connection to the site, committed at the end, so that nothing stays locked."""
		frappe.init(site=self.name)
		frappe.connect()
		try:
			yield frappe.db
			frappe.db.commit()
		finally:
			frappe.destroy()

	def remove_everything(self) -> None:
		"""Uninstall the app and drop its tables."""
		with self.connected() as db:
			installed = "memora" in frappe.get_installed_apps()
		if installed:
			self.uninstall()
		with self.connected() as db:
			for table in (*[f"tab{d}" for d in DOCTYPES], *NATIVE):
				db.sql_ddl(f"DROP TABLE IF EXISTS `{table}`")
			frappe.cache().delete_value("db_tables")

	def uninstall(self) -> str:
		return self.bench("uninstall-app", "memora", "--yes", "--no-backup")

	def tables(self) -> dict[str, frozenset[str]]:
		"""For each table its parts, in no order: columns, keys, options, partitions by value."""
		with self.connected() as db:
			names = [f"tab{d}" for d in DOCTYPES] + list(NATIVE)
			return {name: _parts(db.sql(f"SHOW CREATE TABLE `{name}`")[0][1]) for name in names}

	def count(self, where: str = "TRUE", table: str = TRACKER) -> int:
		with self.connected() as db:
			return db.sql(f"SELECT COUNT(*) FROM `{table}` WHERE {where}")[0][0]  # noqa: S608


def _parts(create: str) -> frozenset[str]:
	lines = [line.strip().rstrip(",").strip("()") for line in create.splitlines()[1:]]
	return frozenset(line.split(" AUTO_INCREMENT=")[0] for line in lines if not line.startswith(FRAMEWORKS))


def _without_partitions(tables: dict) -> dict:
	return {name: {p for p in parts if not p.startswith("PARTITION ")} for name, parts in tables.items()}


class Life:
	"""The checks, each of which leaves the site as the next expects it."""

	def __init__(self, site: Site):
		self.site = site
		self.failures = 0

	def check(self, what: str, is_so: bool, detail: object = "") -> None:
		print(f"{'ok  ' if is_so else 'FAIL'} {what}{'' if is_so else f': {detail}'}", flush=True)
		self.failures += not is_so

	def same(self, what: str, before: dict, after: dict) -> None:
		differ = {t: sorted(before[t] ^ after[t]) for t in before if before[t] != after[t]}
		self.check(what, not differ, differ)

	def run(self) -> int:
		"""All checks; how many failed."""
		self.site.remove_everything()
		self.site.bench("install-app", "memora")
		fresh = self.site.tables()
		self.check("a fresh table is partitioned", any("PARTITION BY LIST" in p for p in fresh[TRACKER]))
		self.migrated_again("fresh", fresh)
		self.uninstalled(fresh)
		for way in (self.installed_over_old_tables, self.migrated_old_tables):
			old = way()
			self.same(f"{way.__name__}: as fresh", _without_partitions(fresh), _without_partitions(old))
			self.rows_are_right(way.__name__)
			self.migrated_again(way.__name__, old)
		return self.failures

	def migrated_again(self, what: str, tables: dict) -> None:
		"""Migrating twice and saving DocTypes between change nothing."""
		self.check(f"{what}: migrate finds nothing", "as they should be" in self.site.bench("migrate"))
		self.same(f"{what}: same after migrate", tables, self.site.tables())
		with self.site.connected():
			# In developer mode Frappe would write the app's files; elsewhere it refuses, except to patches.
			frappe.conf.developer_mode = 0
			frappe.flags.in_patch = True
			for doctype in DOCTYPES:
				frappe.get_doc("DocType", doctype).save()
		self.same(f"{what}: same after saving DocTypes", tables, self.site.tables())
		self.check(f"{what}: second migrate finds nothing", "as they should be" in self.site.bench("migrate"))
		self.same(f"{what}: same after second migrate", tables, self.site.tables())

	def uninstalled(self, fresh: dict) -> None:
		"""Uninstalling keeps tables and rows, installing again finds them."""
		with self.site.connected():
			season = frappe.get_doc(doctype="Game Subscription Season", season_name="SEASON-LIFE").insert()
			self.check("a new season says that its partition is there", season.partition_created == 1)
			row = {"player": "Administrator", "season": season.name, "question_id": "Q", "stability": 1}
			frappe.get_doc(doctype="Player Memory Tracker", **row).insert()
		before = self.site.tables()
		self.site.bench("uninstall-app", "memora", "--dry-run", "--no-backup")
		self.same("dry run of uninstall: same tables", before, self.site.tables())
		self.site.uninstall()
		with self.site.connected() as db:
			self.check("uninstall: no DocType is left", not db.exists("DocType", "Player Memory Tracker"))
		self.same("uninstall: same tables", before, self.site.tables())
		self.check("uninstall: the row is there", self.site.count("season = 'SEASON-LIFE'") == 1)
		self.site.bench("install-app", "memora")
		self.same("installed again: same tables", before, self.site.tables())
		self.check("installed again: the row is there", self.site.count("season = 'SEASON-LIFE'") == 1)
		self.same("installed again: as fresh", _without_partitions(fresh), _without_partitions(before))

	def installed_over_old_tables(self) -> dict:
		"""Tables of an older app, without that app's DocTypes: install."""
		self.site.remove_everything()
		with self.site.connected() as db:
			old_tables.create(db)
		self.site.bench("install-app", "memora")
		return self.site.tables()

	def migrated_old_tables(self) -> dict:
		"""Tables and DocTypes of an older version, whose patches have not run: migrate."""
		with self.site.connected() as db:
			old_tables.forget_version(db)
			old_tables.create(db)
		out = self.site.bench("migrate")
		self.check("migrated_old_tables: patches ran", "memora.patches.v1_0.setup_partitioning" in out, out)
		return self.site.tables()

	def rows_are_right(self, what: str) -> None:
		"""Rows without a season got the active one, the latest of duplicates stayed, nothing else went."""
		self.check(f"{what}: no row without season", self.site.count("season IS NULL OR season = ''") == 0)
		self.check(f"{what}: rows", self.site.count() == old_tables.QUESTIONS, self.site.count())
		latest = self.site.count("question_id LIKE 'Q-TWICE-%' AND stability = 3")
		self.check(f"{what}: the latest of duplicates stayed", latest == old_tables.TWICE, latest)
		active = self.site.count("season = 'SEASON-2026'")
		self.check(f"{what}: rows of the active season", active == old_tables.ACTIVE, active)
		with self.site.connected() as db:
			partitions = db.sql(
				"""SELECT partition_description FROM information_schema.partitions
				WHERE table_schema = DATABASE() AND table_name = %s""",
				TRACKER,
				pluck=True,
			)
		expected = ["'SEASON-2025'", "'SEASON-2026'", "'SEASON-DEFAULT'"]
		self.check(f"{what}: a partition for each season", sorted(partitions) == expected, partitions)


def main(name: str) -> int:
	"""Run all checks on this site; 0 if all hold."""
	site = Site(name)
	with site.connected():
		if not frappe.conf.allow_tests:
			sys.exit(
				f"{name}: this destroys data; bench --site {name} set-config allow_tests true, if you mean it"
			)
	return 1 if Life(site).run() else 0


if __name__ == "__main__":
	sys.exit(main(*sys.argv[1:]))
