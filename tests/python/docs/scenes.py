"""What has happened on the bench when an operator opens a page: `<!-- scene: name -->`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import pymysql
import redis

from docs.bench import NAME, Bench
from stage import ANN, BOB, SEASON, TRACKER, stop, until

OLD, NEW = "SEASON-2025", "SEASON-2027"
SUBMIT = "memora.api.reviews.submit_review_session"


class Scenes:
    """Each method is a scene."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.site = bench, bench.site
        self.lock: pymysql.Connection[pymysql.cursors.Cursor] | None = None
        self.submits = 0

    def play(self, name: str) -> None:
        """Play a scene by its name."""
        scene = getattr(type(self), name, None)
        assert scene, f"no scene {name}"
        scene(self)

    def sidecar(self) -> None:
        """A sidecar serves students, and Prometheus."""
        self.bench.start(
            "memora-srs serve --sites-path sites"
            " --bind 127.0.0.1:8765 --metrics-bind 127.0.0.1:9760 --log-format json"
        )

    def worker(self) -> None:
        """A worker is there."""
        self.bench.start("memora-srs worker --sites-path sites --metrics-bind 127.0.0.1:9769")

    def worker_again(self) -> None:
        """It is there again, and has worked off what waited."""
        if worker := self._worker():
            self.bench.end(worker)
        self.worker()
        self.a_minute_passes()
        self.bench.shell([f"memora-srs sweep --site {NAME}"])
        self._says("journal list", "nothing")

    def _worker(self) -> subprocess.Popen[str] | None:
        return next((p for p in self.bench.running if "worker" in str(p.args)), None)

    def workers_are_suspended(self) -> None:
        """Somebody has told all workers to pause."""
        self.worker()
        self.bench.shell([f"rq suspend -u {self.bench.queue.url}"])

    def worker_ends(self) -> None:
        """Nobody works on the queue any more."""
        worker = self._worker()
        assert worker
        self.bench.end(worker)

    def reconciled(self) -> None:
        """The daily reconciliation has run, with everybody cached."""
        self.schedules_are_filled()
        self.bench.shell([f"memora-srs reconcile --site {NAME}"])

    def cache_stops(self) -> None:
        """The Redis with the schedules is gone, and a student has noticed."""
        self.bench.cache.stop()
        until("the sidecar knows", lambda: not self._is_ready())
        self.read()

    def the_outage_is_noted(self) -> None:
        """It has lasted for two seconds."""
        self._says("safe-mode status", "noticed 2")

    def _is_ready(self) -> bool:
        url = f"http://{self.bench.addresses['127.0.0.1:9760']}/readyz"
        try:
            with urllib.request.urlopen(url):
                return True
        except urllib.error.HTTPError:
            return False

    def cache_starts(self) -> None:
        """It is back, and what it missed is made good."""
        self.bench.cache.start()
        until("the sidecar knows", self._is_ready)

    def safe_mode_ends(self) -> None:
        """Students read, and nobody was cut off for five seconds."""
        self._says("safe-mode status", "no Safe Mode", self.read)

    def _says(self, command: str, what: str, meanwhile: Callable[[], None] | None = None) -> None:
        command = f"memora-srs {command} --site {NAME}"

        def said() -> bool:
            if meanwhile:
                meanwhile()
            return what in self.bench.shell([command])[0][1]

        until(f"{command} says {what}", said)

    def queue_stops(self) -> None:
        """The Redis with the queues is gone."""
        self.bench.queue.stop()

    def queue_starts(self) -> None:
        """It is back, empty, and the sidecar has said again that it is there."""
        self.bench.queue.start()
        if any("serve" in str(process.args) for process in self.bench.running):
            self._says("status", " serves")

    def mariadb_hangs(self) -> None:
        """MariaDB answers nobody."""
        stop(self.site.mariadb_pid)

    def mariadb_goes_on(self) -> None:
        """It does again."""
        os.kill(self.site.mariadb_pid, signal.SIGCONT)

    def a_read_is_not_served(self) -> None:
        """MariaDB hung for a moment in which a student asked who is not cached."""
        self.bench.shell([f"memora-srs cache clear --site {NAME} --season {SEASON}"])
        self.mariadb_hangs()
        try:
            self._ask("memora.api.reviews.get_review_session", BOB)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        finally:
            self.mariadb_goes_on()

    def a_disaster(self) -> None:
        """The tables of schedules are lost, after answers that no backup has; all is stopped."""
        self.worker_ends()
        self.answers()
        for table in ("Player Memory Tracker", "Archived Memory Tracker"):
            self.site.sql(f"DROP TABLE `tab{table}`")

    def all_is_started(self) -> None:
        """Workers are there again, and bring in what waited on the queue."""
        self.worker_again()
        recent = "SELECT COUNT(*) FROM memora_srs_review_log WHERE submission_id = %s"
        assert self.site.sql(recent, f"app-{self.submits:04}") == [(1,)], "the answer is lost"

    def read(self) -> None:
        """A student asks what is due; not for the first time, maybe."""
        try:
            self._ask("memora.api.reviews.get_review_session", ANN)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.TOO_MANY_REQUESTS:
                raise

    def the_sidecar_serves(self) -> None:
        """It has read that the site is its own again."""

        def served() -> bool:
            try:
                self.read()
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.MISDIRECTED_REQUEST:
                    raise
                return False
            return True

        until("it serves", served)

    def answers(self) -> None:
        """Three students hand in answers."""
        for question in range(3):
            self.submits += 1
            answer = {"question_id": f"STAGE-{question:03}:0", "quality": 4}
            body = {"submission_id": f"app-{self.submits:04}", "responses": [answer]}
            self._ask(SUBMIT, ANN, body)

    def _ask(self, method: str, user: str, body: object = None) -> None:
        url = f"http://{self.bench.addresses['127.0.0.1:8765']}/api/method/{method}"
        headers = {"Host": NAME, "Authorization": self.site.tokens[user]}
        if body:
            headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            assert answer.status == 200

    def answers_a_minute_ago(self) -> None:
        """They have handed in answers a minute ago."""
        self.answers()
        self.a_minute_passes()

    def a_minute_passes(self) -> None:
        """A minute later."""
        self.site.sql(
            "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE"
            " WHERE applied_at IS NULL"
        )

    def a_submit_fails(self) -> None:
        """A submit could not be applied until it was given up."""
        self.answers_a_minute_ago()
        self.site.sql(
            "UPDATE memora_srs_journal SET state = 'failed', tries = 12,"
            " next_try_at = '9999-12-31', error = 'The table is full' WHERE submission_id = %s",
            f"app-{self.submits:04}",
        )

    def old_season(self) -> None:
        """There is a season that is over."""
        self._played(OLD)

    def season_of_2022(self) -> None:
        """A season was archived four years ago."""
        self._played("SEASON-2022")
        self.bench.shell([f"memora-srs archive --site {NAME} --season SEASON-2022 --yes"])
        self.site.sql(
            "UPDATE `tabArchived Memory Tracker` SET archived_at = archived_at - INTERVAL 4 YEAR"
            " WHERE season = 'SEASON-2022'"
        )

    def _played(self, season: str) -> None:
        self._season(season, active=0)
        self.bench.shell([f"memora-srs partition create --site {NAME} --season {season}"])
        self.site.sql(
            f"INSERT INTO {TRACKER} (name, player, season, question_id, next_review_date,"  # noqa: S608
            " stability)"
            " SELECT CONCAT(%s, name), player, %s, question_id, next_review_date, stability"
            f" FROM {TRACKER} WHERE season = %s",
            season,
            season,
            SEASON,
        )

    def bare_season(self) -> None:
        """A season was added by SQL or by an import: it has no partition."""
        self._season(NEW, active=0)

    def bare_season_again(self) -> None:
        """Another one."""
        self._season("SEASON-2028", active=0)

    def new_season_active(self) -> None:
        """It is the first day of the new season, and an administrator has set it active."""
        self._activate(NEW)

    def the_term_before(self) -> None:
        """It is the term before again."""
        self._activate(SEASON)

    def _activate(self, name: str) -> None:
        self.site.sql("UPDATE `tabGame Subscription Season` SET is_active = name = %s", name)
        self.site.sql(
            "UPDATE `tabGame Subscription Season` SET start_date = CURDATE() - INTERVAL 1 DAY"
            " WHERE name = %s",
            name,
        )

    def _season(self, name: str, active: int) -> None:
        year = name[-4:]
        self.site.sql(
            "INSERT IGNORE INTO `tabGame Subscription Season` (name, season_name, creation,"
            " modified, start_date, end_date, is_active, enable_redis)"
            " VALUES (%s, %s, '2025-01-01', '2025-01-01', %s, %s, %s, 1)",
            name,
            name,
            f"{year}-01-01",
            f"{year}-12-31",
            active,
        )

    def a_report_runs(self) -> None:
        """A report takes long, and holds the table of schedules."""
        self.lock = pymysql.connect(
            host="127.0.0.1",
            port=self.site.db_port,
            user=self.site.db_name,
            password=self.site.config()["db_password"],
            database=self.site.db_name,
        )
        report = f"SELECT player, COUNT(*), SUM(SLEEP(100)) FROM {TRACKER} GROUP BY player"  # noqa: S608
        threading.Thread(target=self._run, args=(self.lock, report), daemon=True).start()
        running = "SELECT 1 FROM information_schema.processlist WHERE info LIKE '%%SLEEP(100)%%'"
        until("it runs", lambda: len(self.site.sql(running)) > 1)

    @staticmethod
    def _run(connection: pymysql.Connection[pymysql.cursors.Cursor], statement: str) -> None:
        # It is killed.
        with suppress(pymysql.Error), connection.cursor() as cursor:
            cursor.execute(statement)

    def cache_is_wrong(self) -> None:
        """Somebody wrote into the schedules past the engine."""
        self.bench.shell([f"memora-srs rebuild --site {NAME} --season {SEASON} --load 100"])
        for user in (ANN, BOB):
            connection = self._cache()
            key = f"srs:{user}:{SEASON}"
            for number in range(5):
                connection.zadd(key, {f"STAGE-{number:03}:0": time.time() + 10**6})

    def _cache(self) -> redis.Redis:
        return redis.Redis.from_url(self.bench.cache.url, decode_responses=True)

    def schedules_are_filled(self) -> None:
        """All schedules are cached."""
        self.bench.shell([f"memora-srs rebuild --site {NAME} --season {SEASON} --load 100"])

    def cache_is_small(self) -> None:
        """The Redis with the schedules has less memory than it needs."""
        self.schedules_are_filled()
        cache = self._cache()
        cache.config_set("maxmemory-policy", "allkeys-lru")
        cache.config_set("maxmemory", cache.info("memory")["used_memory"] - 100_000)
        until("it gives up keys", lambda: cache.info("stats")["evicted_keys"])
