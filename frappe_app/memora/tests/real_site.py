"""What tests need on a real site: students, seasons, requests; and their removal.

Everything is committed, because the engine works on connections of its own and sees nothing of
Frappe's open transaction. So nothing is undone by a rollback: tests clean up behind themselves.
"""

import contextlib
import os
import sys
import threading
import time
import unittest
from unittest.mock import patch

import frappe
from frappe.utils import add_days, today

from memora.api import reviews
from memora.services.partition_manager import PartitionManager
from memora.services.srs_redis_manager import SRSRedisManager

SEASON = "Game Subscription Season"
TRACKER = "tabPlayer Memory Tracker"
SYSTEM_MANAGER = "memora-tests@example.com"
NATIVE = ("memora_srs_journal", "memora_srs_audit", "memora_srs_review_log")

# Long enough for a process to forget which season was active (srs_season_cache_s, 10 s).
PATIENCE = 30


class MemoraTestCase(unittest.TestCase):
	"""A test on a real site, as Administrator, with one committed season of its own.

	No base class of Frappe's: those roll back, and have other names in each version.
	"""

	# Whether the season has to be the site's active one, as a submit needs it.
	active = False

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		frappe.set_user("Administrator")
		need_a_system_manager()
		cls.season = f"SEASON-TEST-{cls.__name__}"
		remove_season(cls.season)
		cls.addClassCleanup(remove_season, cls.season)
		make_season(cls.season, is_active=cls.active)
		if cls.active:
			wait_until(lambda: reviews.get_active_season() == cls.season, "the test's season is active")

	def setUp(self):
		super().setUp()
		_take_over()

	def student(self, name="ann") -> str:
		"""A student of this test, who is removed after it."""
		email = f"memora-{name}-{self._testMethodName}@example.com".replace("_", "-").lower()
		remove_student(email, self.season)
		self.addCleanup(remove_student, email, self.season)
		make_student(email)
		return email

	def rows(self, student: str) -> dict[str, dict]:
		"""The student's rows of the test's season, by question."""
		frappe.db.commit()
		found = frappe.db.sql(
			f"SELECT * FROM `{TRACKER}` WHERE player = %s AND season = %s",  # noqa: S608
			(student, self.season),
			as_dict=True,
		)
		return {row.question_id: row for row in found}

	def add_rows(self, student: str, due: dict[str, str], **fields) -> None:
		"""Rows as somebody else has written them; ``due``: wall time of the site by question."""
		for question, moment in due.items():
			frappe.get_doc(
				doctype="Player Memory Tracker",
				player=student,
				season=self.season,
				question_id=question,
				next_review_date=moment,
				last_review_date=add_days(moment, -1),
				**{"stability": 1, **fields},
			).insert()
		frappe.db.commit()

	@contextlib.contextmanager
	def refused(self, exc, *words):
		"""What is done within raises ``exc``, whose message has these words."""
		with self.assertRaises(exc) as caught:
			yield
		for word in words:
			self.assertIn(word, str(caught.exception))
		frappe.clear_messages()


def need_a_system_manager(*not_these: str) -> None:
	"""Frappe deletes no User of a site whose only System Manager is Administrator, as a fresh one.

	``not_these``: Users of a test, who do not count because they will be removed.
	"""
	others = {
		"role": "System Manager",
		"parenttype": "User",
		"parent": ["not in", ("Administrator", *not_these)],
	}
	if not frappe.db.exists("Has Role", others):
		make_student(SYSTEM_MANAGER)
		frappe.get_doc("User", SYSTEM_MANAGER).add_roles("System Manager")
		frappe.db.commit()


def _take_over() -> None:
	"""Whoever a test was, and whatever it left open."""
	frappe.db.rollback()
	frappe.set_user("Administrator")


def wait_until(condition, what: str) -> None:
	"""Wait for something that another process, or a clock, brings about."""
	end = time.monotonic() + PATIENCE
	while not condition():
		if time.monotonic() > end:
			raise AssertionError(f"not after {PATIENCE} s: {what}")
		time.sleep(0.1)


def make_season(name: str, **fields) -> None:
	"""A season whose latest of all starts makes it the active one, if it is active at all."""
	values = {"start_date": today(), "end_date": add_days(today(), 90), **fields}
	frappe.get_doc(doctype=SEASON, season_name=name, **values).insert()
	frappe.db.commit()


def remove_season(name: str) -> None:
	"""Remove a season with its rows and its partition."""
	_take_over()
	frappe.db.delete(SEASON, {"name": name})
	frappe.db.commit()
	for partition in PartitionManager().get_all_partitions():
		if partition["season"] == name:
			frappe.db.sql_ddl(f"ALTER TABLE `{TRACKER}` DROP PARTITION `{partition['partition_name']}`")


def make_student(email: str) -> None:
	"""A User who may do nothing but learn."""
	frappe.get_doc(doctype="User", email=email, first_name="Memora", send_welcome_email=0).insert()
	frappe.db.commit()


def remove_student(email: str, season: str) -> None:
	"""Remove a student with everything that is kept of it."""
	_take_over()
	SRSRedisManager().clear_user_cache(email, season)
	for table in (TRACKER, *NATIVE):
		frappe.db.sql(f"DELETE FROM `{table}` WHERE player = %s", (email,))  # noqa: S608
	if frappe.db.exists("User", email):
		# Frappe keeps the last System Manager; a fresh site has none but those of the tests.
		with patch("frappe.core.doctype.user.user.User.a_system_manager_should_exist"):
			frappe.delete_doc("User", email, force=True)
	frappe.db.commit()


def token(student: str) -> dict[str, str]:
	"""Header with a new API key of this User."""
	user = frappe.get_doc("User", student)
	secret = frappe.generate_hash(length=15)
	user.update({"api_key": frappe.generate_hash(length=15), "api_secret": secret})
	user.save()
	frappe.db.commit()
	return {"Authorization": f"token {user.api_key}:{secret}"}


def request(http_method: str, method: str, headers=None, **kwargs):
	"""Send a request through all of Frappe; werkzeug's response.

	On a thread of its own, which has its own connection and session, as a web worker has.
	"""
	headers = {"X-Frappe-Site-Name": frappe.local.site, **(headers or {})}
	answers = []

	def send():
		client = frappe.utils.get_test_client()
		answers.append(client.open(f"/api/method/{method}", method=http_method, headers=headers, **kwargs))

	thread = threading.Thread(target=send)
	thread.start()
	thread.join()
	return answers[0]


@contextlib.contextmanager
def connected(site: str | None):
	"""For scripts, in a bench's folder ``sites``: at work on this site, else on the bench's default_site."""
	site = site or os.environ.get("FRAPPE_SITE") or frappe.get_site_config(sites_path=".").get("default_site")
	if not site:
		sys.exit("the bench has no default_site: name one with --site")
	frappe.init(site=site)
	frappe.connect()
	try:
		yield
	finally:
		frappe.destroy()
