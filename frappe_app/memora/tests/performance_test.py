"""How long a student waits: performance_test [records=100000] [iterations=1000].

From a bench's folder ``sites``, with its Python, or by bench::

	python -m memora.tests.performance_test [RECORDS] [ITERATIONS] [--site SITE]
	bench --site SITE execute memora.tests.performance_test.run --kwargs "{'records': 10000}"

Makes a student with that many rows in a season of its own (which is never active, and has a
partition of its own), reads the 20 most overdue questions again and again as a web worker does,
and prints P50, P90, P95 and P99 in milliseconds, and PASS or FAIL: P99 below 100 ms. Exit code 1
on FAIL. Removes what it made.
"""

import argparse
import sys
import time

import frappe
from frappe.utils import add_to_date, now_datetime

from memora.services import engine
from memora.services.srs_documents import ulid
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests import real_site

# The promise to students, in milliseconds, for the 99th percentile.
TARGET_MS = 100
PERCENTILES = (50, 90, 95, 99)

STUDENT = "memora-performance@example.com"
SEASON = "SEASON-PERFORMANCE-TEST"

# Rows of one statement.
CHUNK = 1000


def run(records: int = 100_000, iterations: int = 1000) -> dict:
	"""Measure and print.

	Args:
		records: questions of the student, 2 to 1,000,000; every other one is due
		iterations: measured reads, 1 and more

	Returns:
		milliseconds by percentile ("P50" …) and ``passed``

	Exits the process with 1 on FAIL, 2 for bad arguments. Raises UnavailableError without servers.
	"""
	records, iterations = int(records), int(iterations)
	if not 2 <= records <= 1_000_000 or iterations < 1:
		print("records must be 2 to 1,000,000, iterations at least 1")
		sys.exit(2)
	clean()
	try:
		real_site.make_season(SEASON)
		fill(records)
		times = measure(records, iterations)
	finally:
		clean()
	result = {f"P{p}": percentile(times, p) for p in PERCENTILES}
	result["passed"] = result["P99"] < TARGET_MS
	report(result, records, iterations)
	if not result["passed"]:
		sys.exit(1)
	return result


def clean() -> None:
	"""Remove the student's rows with their season, and what is cached of them."""
	SRSRedisManager().clear_user_cache(STUDENT, SEASON)
	real_site.remove_season(SEASON)


def fill(records: int) -> None:
	"""Write the rows, and have the engine cache them."""
	for start in range(0, records, CHUNK):
		rows = [row(number) for number in range(start, min(start + CHUNK, records))]
		places = ", ".join(["(" + ", ".join(["%s"] * len(rows[0])) + ")"] * len(rows))
		frappe.db.sql(
			f"""INSERT INTO `{real_site.TRACKER}` (name, player, season, question_id, stability,
			next_review_date, last_review_date, review_version) VALUES {places}""",  # noqa: S608
			[value for values in rows for value in values],
		)
		frappe.db.commit()
	SRSRedisManager().get_due_items_with_rehydration(STUDENT, SEASON)


def row(number: int) -> tuple:
	"""A question's row: due for some time, or in some time."""
	minutes = 60 + number % 10_000
	due = add_to_date(now_datetime(), minutes=minutes if number % 2 else -minutes)
	return ulid(), STUDENT, SEASON, f"S{number % 50}:Q-{number:07}", 1, due, add_to_date(due, days=-1), 1


def measure(records: int, iterations: int) -> list[float]:
	"""Milliseconds of each read, sorted. The first, which connects, is not measured."""
	read()
	times = []
	for _ in range(iterations):
		start = time.perf_counter()
		session = read()
		times.append((time.perf_counter() - start) * 1000)
		if session["total_due"] != -(-records // 2) or session["is_degraded"]:
			raise AssertionError(f"wrong answer: {session['total_due']} of {records} rows are due")
	return sorted(times)


def read() -> dict:
	"""What ``get_review_session`` asks of the engine."""
	return engine.call("ReviewService", "get_review_session", STUDENT, season=SEASON)


def percentile(times: list[float], percent: int) -> float:
	"""The time within which that many percent of the reads were done (nearest rank)."""
	return times[max(0, -(-len(times) * percent // 100) - 1)]


def report(result: dict, records: int, iterations: int) -> None:
	"""Print the figures."""
	print(f"get_review_session with {records:,} questions, {iterations:,} reads, milliseconds:")
	for p in PERCENTILES:
		print(f"  P{p}: {result[f'P{p}']:.2f}")
	print(f"{'PASS' if result['passed'] else 'FAIL'}: P99 {result['P99']:.2f} ms, target {TARGET_MS} ms")


def main() -> None:
	"""From the command line."""
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
	parser.add_argument("records", nargs="?", type=int, default=100_000)
	parser.add_argument("iterations", nargs="?", type=int, default=1000)
	parser.add_argument("--site", help="default: the bench's default_site")
	args = parser.parse_args()
	with real_site.connected(args.site):
		run(args.records, args.iterations)


if __name__ == "__main__":
	main()
