"""What students get while Redis is away, step by step, on a Redis of its own.

From a bench's folder ``sites``, with its Python, or by bench::

	python -m memora.tests.safe_mode_test [--site SITE]
	bench --site SITE execute memora.tests.safe_mode_test.run

Starts private redis-servers, and looks at the site through a copy of its configuration that names
them: the bench's own servers and files stay as they are. Each step prints PASS or FAIL.
Exit code 1 if a step failed, 2 if there is no redis-server.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import frappe
import redis
from frappe.utils import add_days, now_datetime

from memora.api.utils import SafeModeManager
from memora.services import engine
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests import real_site

STUDENT = "memora-safe-mode@example.com"
OTHER = "memora-safe-mode-2@example.com"
SEASON = "SEASON-SAFE-MODE-TEST"
QUESTIONS = 12

# Seconds for what has to come by itself: the break is noticed, the return is noticed.
PATIENCE = 30


class PrivateRedis:
	"""A server on a socket in a folder that is removed with it."""

	def __init__(self, folder: pathlib.Path, name: str):
		self.socket = folder / f"{name}.sock"
		self.url = f"unix://{self.socket}"
		self.process = None

	def start(self) -> None:
		"""Start it, empty; returns when it answers."""
		program = shutil.which("redis-server")
		options = [
			"--port",
			"0",
			"--unixsocket",
			str(self.socket),
			"--save",
			"",
			"--dir",
			str(self.socket.parent),
		]
		self.process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)  # noqa: S603
		wait_for("the private Redis answers", self.answers)

	def answers(self) -> bool:
		"""Whether it takes a command."""
		with contextlib.suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
			return redis.Redis.from_url(self.url).ping()
		return False

	def stop(self) -> None:
		"""Kill it, as a crash would."""
		if self.process and self.process.poll() is None:
			self.process.kill()
			self.process.wait()


def run() -> bool:
	"""Play all steps; True if none failed. Exits the process with 1 or 2 otherwise."""
	if not shutil.which("redis-server"):
		print("there is no redis-server on this machine to start")
		sys.exit(2)
	clean()
	try:
		prepare()
		with tempfile.TemporaryDirectory() as folder:
			failed = play(pathlib.Path(folder))
	finally:
		clean()
	print(f"{'FAIL' if failed else 'PASS'}: {failed} steps failed")
	if failed:
		sys.exit(1)
	return True


def prepare() -> None:
	"""A student with more due questions than Safe Mode answers."""
	real_site.make_season(SEASON)
	for number in range(QUESTIONS):
		due = add_days(now_datetime(), -1 - number)
		names = {"player": STUDENT, "season": SEASON, "question_id": f"Q-{number}"}
		frappe.get_doc(doctype="Player Memory Tracker", stability=1, next_review_date=due, **names).insert(
			ignore_links=True
		)
	frappe.db.commit()


def clean() -> None:
	"""Remove what ``prepare`` made."""
	real_site.remove_season(SEASON)


def play(folder: pathlib.Path) -> int:
	"""The steps, in order; how many failed."""
	server, queue = PrivateRedis(folder, "cache"), PrivateRedis(folder, "queue")
	failed = 0
	try:
		server.start()
		queue.start()
		with looking_through(server, queue, folder):
			for what, step in steps(server):
				failed += not passes(what, step)
	finally:
		server.stop()
		queue.stop()
	return failed


def steps(server: PrivateRedis):
	"""What is done and seen, each a sentence and a function that raises if it is not so."""
	limits = SafeModeManager()
	start_counting_anew(limits)
	return (
		("connected: the cache is filled and answers", answered_from_cache),
		("no Safe Mode", lambda: check(not limits.is_safe_mode_active())),
		("Redis is stopped, and not available", lambda: (server.stop(), wait_for("away", is_away))),
		("students are answered from the table", answered_from_table),
		("Safe Mode is on", lambda: check(limits.is_safe_mode_active())),
		("a student may ask once in 30 s", refused_for_a_while),
		("the limit says so, too", lambda: check(not limits.check_rate_limit(STUDENT))),
		("requests of all are counted", lambda: check(limits.get_global_request_count() == 1)),
		("another student is let in", lambda: check(limits.check_rate_limit(OTHER))),
		("an administrator lets a student in", lambda: let_in(limits)),
		("Redis is back, empty", lambda: (server.start(), wait_for("back", SRSRedisManager().is_available))),
		("normal again", lambda: wait_for("not degraded", is_normal)),
		("the cache is filled again", answered_from_cache),
	)


def passes(what: str, step) -> bool:
	"""Do a step, print what became of it; False if it failed."""
	try:
		step()
	except Exception as e:
		print(f"FAIL       {what}: {type(e).__name__}: {e}")
		return False
	else:
		print(f"PASS       {what}")
	return True


def answered_from_cache() -> None:
	"""A read is not degraded, and the schedule is in Redis soon after."""
	check(not read()["is_degraded"])
	manager = SRSRedisManager()
	wait_for("cached", lambda: len(manager.get_due_items(STUDENT, SEASON)) == QUESTIONS)


def answered_from_table() -> None:
	"""A read says that it is degraded, and has the true total and the most overdue questions."""
	session = read()
	check(session["is_degraded"])
	check(session["total_due"] == QUESTIONS)
	check(session["questions"][0]["question_id"] == f"Q-{QUESTIONS - 1}")


def start_counting_anew(limits: SafeModeManager) -> None:
	"""What else was counted does not count."""
	limits.reset_global_rate_limit()
	for student in (STUDENT, OTHER):
		limits.reset_user_rate_limit(student)


def refused_for_a_while() -> None:
	"""A second read is refused as Frappe refuses: class, status, and when to come back."""
	try:
		read()
	except frappe.RateLimitExceededError as e:
		check(e.http_status_code == 429)
		check(0 < frappe.local.memora_retry_after <= SafeModeManager.USER_LIMIT_SECONDS)
		check("please wait" in str(e))
		frappe.clear_messages()
	else:
		raise AssertionError("not refused")


def let_in(limits: SafeModeManager) -> None:
	"""After a reset the student reads at once."""
	limits.reset_user_rate_limit(STUDENT)
	answered_from_table()


def read() -> dict:
	"""What ``get_review_session`` asks of the engine."""
	return engine.call("ReviewService", "get_review_session", STUDENT, season=SEASON)


def is_normal() -> bool:
	"""Whether reads are neither degraded nor limited."""
	try:
		return not read()["is_degraded"]
	except frappe.RateLimitExceededError:
		frappe.clear_messages()
		return False


def is_away() -> bool:
	"""Whether the engine knows that Redis is away."""
	return not SRSRedisManager().is_available()


def check(truth) -> None:
	"""Raise if it is not so."""
	if not truth:
		raise AssertionError("not so")


def wait_for(what: str, condition) -> None:
	"""Wait for what has to come by itself."""
	end = time.monotonic() + PATIENCE
	while not condition():
		if time.monotonic() > end:
			raise AssertionError(f"not within {PATIENCE} s: {what}")
		time.sleep(0.1)


@contextlib.contextmanager
def looking_through(server: PrivateRedis, queue: PrivateRedis, folder: pathlib.Path):
	"""The engine sees the site through a copy of its configuration that names these servers.

	The queue is one of them, so that no administrator is told of this outage.
	"""
	real = pathlib.Path(frappe.local.sites_path)
	site = folder / frappe.local.site
	site.mkdir()
	shutil.copy(real / "common_site_config.json", folder)
	config = json.loads((real / frappe.local.site / "site_config.json").read_text())
	servers = {"srs_redis_cache": server.url, "redis_queue": queue.url}
	(site / "site_config.json").write_text(json.dumps({**config, **servers}))
	frappe.local.sites_path = str(folder)
	try:
		yield
	finally:
		frappe.local.sites_path = str(real)


def main() -> None:
	"""From the command line."""
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
	parser.add_argument("--site", help="default: the bench's default_site")
	with real_site.connected(parser.parse_args().site):
		run()


if __name__ == "__main__":
	main()
