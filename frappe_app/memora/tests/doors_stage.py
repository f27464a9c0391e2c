"""What ``tests/python/compare_doors.py`` of the repository asks of a site, by ``bench execute``.

Makes students, seasons and rows for a comparison of the doors, and tells what became of them. All
of it is removed by ``clean``.
"""

import pathlib
import time

import frappe
from frappe.utils import add_days, now_datetime
from frappe.utils.background_jobs import get_redis_conn
from frappe.utils.password import update_password

from memora.services import srs_archiver
from memora.services.srs_redis_manager import SRSRedisManager
from memora.tests import real_site

SEASON = "SEASON-DOORS"
ARCHIVED = "SEASON-DOORS-ARCHIVED"
# As tests/python/doors/view.py has it.
BENCH_ID = "memora-doors"
PASSWORD = "Doors-Pass-123"  # noqa: S105

# A student, one more, and an administrator who learns too.
PEOPLE = {name: f"memora-doors-{name}@example.com" for name in ("ann", "bob", "manager")}
SUBJECTS = ("Doors Mathematics", "Doors Äpfel & Birnen")


def prepare() -> dict:
	"""Make everything anew; who may log in how, the seasons, and what to give back to ``clean``."""
	clean()
	tracebacks = frappe.db.get_single_value("System Settings", "allow_error_traceback")
	show_tracebacks(0)
	others = frappe.get_all(real_site.SEASON, filters={"is_active": 1}, pluck="name")
	set_others(others, 0)
	real_site.make_season(SEASON, is_active=1)
	real_site.make_season(ARCHIVED)
	frappe.db.set_value(real_site.SEASON, ARCHIVED, "archived_on", now_datetime())
	for subject in SUBJECTS:
		frappe.get_doc(doctype="Game Subject").insert(set_name=subject)
	logins = {name: make_person(name, email) for name, email in PEOPLE.items()}
	for number in range(1, 31):
		add_row(PEOPLE["ann"], number)
	frappe.db.commit()
	return {
		"frappe": int(frappe.__version__.split(".")[0]),
		"people": PEOPLE,
		"password": PASSWORD,
		"tokens": logins,
		"season": SEASON,
		"archived": ARCHIVED,
		"subjects": SUBJECTS,
		"before": {"tracebacks": tracebacks, "others": others},
	}


def make_person(name: str, email: str) -> str:
	"""A User with password and API key; ``key:secret``."""
	real_site.make_student(email)
	update_password(email, PASSWORD)
	if name == "manager":
		frappe.get_doc("User", email).add_roles("System Manager")
	return real_site.token(email)["Authorization"].removeprefix("token ")


def add_row(player: str, number: int) -> None:
	"""A question that has been due for as many days, of one of the subjects or none."""
	due = add_days(now_datetime().replace(microsecond=0 if number % 3 else 250_000), -number)
	frappe.get_doc(
		doctype="Player Memory Tracker",
		player=player,
		season=SEASON,
		question_id=f"Stage {number % 4}:Frage-ä-{number}",
		stability=number / 10,
		next_review_date=due,
		last_review_date=add_days(due, -1),
		subject=(*SUBJECTS, None)[number % 3],
	).insert()


def show_tracebacks(value) -> None:
	"""System Settings.allow_error_traceback."""
	frappe.db.set_single_value("System Settings", "allow_error_traceback", value)
	frappe.clear_cache(doctype="System Settings")
	frappe.db.commit()


def set_active(active: bool) -> None:
	"""Whether the season of the comparison, and with it any, is active."""
	frappe.db.set_value(real_site.SEASON, SEASON, "is_active", int(active))
	frappe.db.commit()


def set_others(seasons: list[str], active: int) -> None:
	"""Put the site's own active seasons aside, or back."""
	for season in seasons:
		frappe.db.set_value(real_site.SEASON, season, "is_active", active)
	frappe.db.commit()


def clean(before=None) -> None:
	"""Remove everything, and put back what ``prepare`` changed if it is given."""
	if before:
		show_tracebacks(before["tracebacks"])
		set_others(before["others"], 1)
	real_site.need_a_system_manager(*PEOPLE.values())
	for email in PEOPLE.values():
		real_site.remove_student(email, SEASON)
	for season in (SEASON, ARCHIVED):
		real_site.remove_season(season)
	for subject in SUBJECTS:
		frappe.db.delete("Game Subject", {"name": subject})
	frappe.db.commit()


def give_csrf_token(sid: str, token: str) -> None:
	"""Have this session want a CSRF token, as a visit to Desk does."""
	session = frappe.cache().hget("session", sid)
	session["data"]["csrf_token"] = token
	frappe.cache().hset("session", sid, session)


def state(player: str) -> dict:
	"""The student's rows (version by question), unapplied batches, and jobs that wait, by queue."""
	versions = frappe.get_all(
		"Player Memory Tracker",
		filters={"player": player, "season": SEASON},
		fields=["question_id", "review_version"],
	)
	((unapplied,),) = frappe.db.sql(
		"SELECT COUNT(*) FROM memora_srs_journal WHERE player = %s AND applied_at IS NULL", (player,)
	)
	return {
		"versions": {row.question_id: row.review_version for row in versions},
		"unapplied": unapplied,
		"jobs": waiting_jobs(),
	}


def effects(player: str) -> dict:
	"""What the student's submits have done: batches in the journal; rows and reviews by question."""
	rows = frappe.get_all(
		"Player Memory Tracker",
		filters={"player": player, "season": SEASON},
		fields=["question_id", "stability"],
	)
	reviews = frappe.db.sql(
		"""SELECT CONVERT(question USING utf8mb4), COUNT(*) FROM memora_srs_review_log
		WHERE player = %s GROUP BY question""",
		(player,),
	)
	batches = frappe.db.sql(
		"""SELECT CONVERT(submission_id USING utf8mb4), applied_at IS NOT NULL FROM memora_srs_journal
		WHERE player = %s""",
		(player,),
	)
	return {
		"rows": {row.question_id: row.stability for row in rows},
		"reviews": dict(reviews),
		"batches": dict(batches),
	}


def waiting_jobs() -> dict[str, list[str]]:
	"""Ids of the jobs on each queue, by the queue's name without the bench's."""
	redis = get_redis_conn()
	queues = [queue.decode() for queue in redis.smembers("rq:queues")]
	return {
		queue.rsplit(":", 1)[-1]: [job.decode() for job in redis.lrange(queue, 0, -1)] for queue in queues
	}


def lose_jobs() -> None:
	"""Lose all jobs, as a queue does that was not saved, and let the unapplied batches be overdue.

	Only on the queue that a comparison started for itself.
	"""
	if frappe.conf.bench_id != BENCH_ID:
		raise AssertionError("this is not the queue of a comparison")
	redis = get_redis_conn()
	for queue in redis.smembers("rq:queues"):
		for job in redis.lrange(queue, 0, -1):
			redis.delete(b"rq:job:" + job)
		redis.delete(queue)
	frappe.db.sql(
		"""UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 HOUR,
		next_try_at = next_try_at - INTERVAL 1 HOUR WHERE applied_at IS NULL"""
	)
	frappe.db.commit()


def hold_journal(held: str) -> None:
	"""Lock the journal while the file ``held``, which says so, is there; for 30 s at most."""
	frappe.db.sql("LOCK TABLES memora_srs_journal WRITE")
	file = pathlib.Path(held)
	file.touch()
	end = time.monotonic() + 30
	while file.exists() and time.monotonic() < end:
		time.sleep(0.05)
	frappe.db.sql("UNLOCK TABLES")


# A season's cycle (tests/python/season_cycle.py)


def add_rows(season: str, students: int, each: int) -> None:
	"""Rows in bulk, as MariaDB makes them: so many students, one of them ann, of so many questions."""
	frappe.db.sql(
		f"""INSERT INTO `{real_site.TRACKER}` (name, creation, modified, modified_by, owner, player, season,
		question_id, stability, next_review_date, last_review_date, review_version)
		SELECT CONCAT('cycle-', seq), '2026-01-01', '2026-01-01', 'Administrator', 'Administrator',
		IF(seq < {int(each)}, %s, CONCAT('cycle-', seq DIV {int(each)}, '@example.com')), %s,
		CONCAT('Stage:', seq MOD {int(each)}), seq MOD 40 / 10,
		'2026-01-05' + INTERVAL seq MOD {int(each)} HOUR, '2026-01-01', 1700000000000000 + seq
		FROM seq_0_to_{int(students) * int(each) - 1}""",  # noqa: S608
		(PEOPLE["ann"], season),
	)
	frappe.db.commit()


def rows(season: str) -> dict:
	"""Number and checksum of the season's rows, in the tracker and in the archive."""
	fields = "name, player, question_id, stability, next_review_date, last_review_date, review_version"
	found = {}
	for which, table in (("tracker", real_site.TRACKER), ("archive", "tabArchived Memory Tracker")):
		found[which] = [
			int(value)
			for value in frappe.db.sql(
				f"""SELECT COUNT(*), COALESCE(SUM(CRC32(CONCAT_WS('|', {fields}))), 0)
				FROM `{table}` WHERE season = %s""",  # noqa: S608
				(season,),
			)[0]
		]
	return found


def tables() -> dict[str, str]:
	"""The definition of each of our tables, as MariaDB has it."""
	doctypes = frappe.get_all("DocType", {"module": "Memora", "issingle": 0, "is_virtual": 0}, pluck="name")
	native = [name for (name,) in frappe.db.sql(r"SHOW TABLES LIKE 'memora\_srs\_%%'")]
	names = [*(f"tab{doctype}" for doctype in doctypes), *native]
	return {name: frappe.db.sql(f"SHOW CREATE TABLE `{name}`")[0][1] for name in names}


def make_seasons(names: list[str]) -> None:
	"""Seasons that are not active."""
	for name in names:
		forget_season(name)
		real_site.make_season(name)


def set_up(done: int) -> int:
	"""Whether the site's setup wizard is done, without which Desk shows nothing else; what was so before."""
	before = frappe.db.get_single_value("System Settings", "setup_complete")
	frappe.db.set_single_value("System Settings", "setup_complete", done)
	frappe.db.commit()
	frappe.clear_cache()
	return int(before or 0)


def forget_season(season: str) -> None:
	"""Remove a season, wherever its rows are."""
	if not frappe.db.exists(real_site.SEASON, season):
		return
	if srs_archiver.get_archive_status(season)["state"] not in ("active", "inactive"):
		srs_archiver.restore_season(season)
	SRSRedisManager().clear_season_cache(season)
	real_site.remove_season(season)
