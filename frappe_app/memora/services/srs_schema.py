"""The schema: keys, indexes and partitions that Frappe's DocTypes cannot declare.

One idempotent migration does everything that is missing. Frappe marks patches as done on a fresh
site without running them, so the install and migrate hooks call it too.
"""

import sys
import time

import click
import frappe

from memora.services import engine

TRACKER = "tabPlayer Memory Tracker"

# Seconds between two lines of progress where output is no terminal.
QUIET = 5


def is_migrated() -> bool:
	"""Whether the table of schedules is partitioned: what a migration does last to it."""
	return bool(
		frappe.db.sql(
			"""SELECT 1 FROM information_schema.partitions WHERE table_schema = DATABASE()
			AND table_name = %s AND partition_name IS NOT NULL LIMIT 1""",
			TRACKER,
		)
	)


def migrate() -> None:
	"""Hook: ``apply``; without the engine, say what is missing and go on. Desk says it again."""
	if what := engine.problem():
		click.secho(what, fg="red")
	else:
		apply()


def apply() -> dict:
	"""Do what is missing, say what is going on; the engine's report.

	Raises EngineMissingError without the wheel, MemoraError if something forbids the migration
	(the message says what, and what to do), UnavailableError if a table stays locked.
	"""
	# Frappe's transaction would hold locks that the engine, on its own connection, waits for.
	frappe.db.commit()
	schema = engine.handle("Schema")
	with engine.errors():
		plan = schema.plan()
		_announce(plan)
		report = schema.apply(progress=Progress())
	_sum_up(report)
	frappe.clear_cache(doctype="Game Subscription Season")
	return report


class Progress:
	"""Prints how far the migration is: a line that is overwritten on a terminal, else a line now and then."""

	def __init__(self):
		self.step = None
		self.printed = 0.0

	def __call__(self, step: str, table: str, done: int, total: int) -> None:
		"""``done`` of ``total`` rows; ``total`` is 0 when it is not known."""
		now = time.monotonic()
		if (step, table) == self.step and now - self.printed < (0.2 if sys.stdout.isatty() else QUIET):
			return
		if sys.stdout.isatty() and self.step and (step, table) != self.step:
			print()
		self.step, self.printed = (step, table), now
		print(self._line(step, table, done, total), end="" if sys.stdout.isatty() else "\n", flush=True)

	def _line(self, step: str, table: str, done: int, total: int) -> str:
		start = "\r\x1b[K" if sys.stdout.isatty() else ""
		rows = f": {done:,} of {total:,}" if total else f": {done:,}" if done else ""
		return f"{start}Memora: {step}{' ' + table if table else ''}{rows}"


def _announce(plan: dict) -> None:
	for what in plan["problems"]:
		print(f"Memora: {what}")
	if plan["unfinished"]:
		print(f"Memora: an earlier migration stopped at: {plan['unfinished']}; continuing")
	if plan["is_empty"]:
		return
	print(f"Memora: migrating the tables, roughly {plan['estimate_s']:.0f} s")
	for table in plan["tables"]:
		for what in _intentions(table, plan["season_for_rows"]):
			print(f"Memora: {table['table']} ({table['rows']:,} rows): {what}")


def _intentions(table: dict, season: str) -> list[str]:
	"""What will be done to the rows of a table, in words."""
	counts = {
		f"rows without a season get {season}": table["without_season"],
		"duplicate rows are merged into the latest of their question": table["duplicate_rows"],
		"rows get a new name because two share theirs": table["names_used_twice"],
	}
	lines = [f"{count:,} {what}" for what, count in counts.items() if count]
	if table["rebuilds"]:
		lines.append("the table is rebuilt; nobody can write to it meanwhile")
	return lines


def _sum_up(report: dict) -> None:
	if sys.stdout.isatty():
		print()
	if not report["changed"]:
		print("Memora: the tables are as they should be")
		return
	for table in report["tables"]:
		print(
			f"Memora: {table['table']}: {table['rows_given_season']:,} rows given a season,"
			f" {table['rows_merged']:,} merged, {table['rows_renamed']:,} renamed,"
			f" {len(table['partitions_made'])} partitions added, {len(table['changes'])} changes"
		)
	print(f"Memora: migrated in {report['elapsed_s']:.1f} s")
