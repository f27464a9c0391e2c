"""A season's life on a real bench: ``season_cycle.py BENCH [--site SITE] --program memora-srs``.

Makes a season by Frappe's REST, gives it rows, fills its cache and archives it by the web
methods that Desk calls, runs their jobs in Frappe's own worker, migrates, and brings the
season back by the command line. Looks at what Desk is told meanwhile, what students are
told, and that no row and no table has changed in the end.

The site as for ``compare_doors.py``, and the bench's Redis must run, for the migration. Exit
code 1 if something is not so.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import redis

import bench_site
from bench_site import Doors, log_in
from doors.cases import FORM, JSON, PLAIN, READ, Logins, get
from doors.exchange import Answer, Request
from doors.flows import check, passes
from doors.view import View, wait_until

SEASON = "SEASON-CYCLE"
RESOURCE = f"/api/resource/{quote('Game Subscription Season')}"
# More than what is archived while the request waits.
STUDENTS, QUESTIONS = 120, 1000
ROWS = STUDENTS * QUESTIONS

# What a student is told of a season in the archive.
ENDED = "has ended and is archived"

# Events of Desk's realtime channel.
REBUILD, ARCHIVE = "cache_rebuild", "season_archive"


class Cycle:
    """The season, and those who ask for it: an administrator's session, a student's token."""

    def __init__(self, view: View, doors: Doors, logins: Logins, program: Path) -> None:
        """Take the servers and the logins."""
        self.view, self.doors, self.logins, self.program = view, doors, logins, program
        self.rows: Any = None

    def send(self, method: str, target: str, body: bytes, form: tuple[str, str]) -> Answer:
        """Ask Frappe as Desk does."""
        headers = (self.logins.desk, self.logins.csrf, form)
        return self.doors.ask("Frappe", Request(method, target, headers, body))

    def call(self, method: str, **args: Any) -> Answer:
        """Post to one of the administrators' methods."""
        body = urlencode({"season": SEASON, **args}).encode()
        return self.send("POST", f"{PLAIN}memora.api.srs.{method}", body, FORM)

    def save(self, method: str, target: str, **fields: Any) -> Answer:
        """Save a season."""
        return self.send(method, target, json.dumps(fields).encode(), JSON)

    def read(self) -> Answer:
        """Ask for what is due as a student does."""
        return self.doors.ask("Frappe", get(READ, self.logins.token, f"season={SEASON}"))

    @contextlib.contextmanager
    def working(self) -> Iterator[redis.client.PubSub]:
        """Frappe's worker works; the channel on which Frappe tells Desk, before it begins."""
        with redis.Redis.from_url(self.view.redis_url("queue")).pubsub() as channel:
            channel.subscribe("events")
            channel.get_message(timeout=5)
            command = [str(self.view.python), "-m", "frappe.utils.bench_helper", "frappe"]
            with self.view.running("worker", [*command, "worker", "--queue", "long"]):
                yield channel

    # The steps, in their order.

    def make(self) -> None:
        """A season has its partition when the insert returns."""
        dates = {"start_date": "2026-01-01", "end_date": "2026-12-31"}
        answer = self.save("POST", RESOURCE, season_name=SEASON, is_active=0, **dates)
        check(answer.status == 200, answer.body[:500])
        check(answer.json()["data"]["partition_created"] == 1, answer.body[:500])
        self.view.execute("add_rows", season=SEASON, students=STUDENTS, each=QUESTIONS)
        self.rows = self.view.execute("rows", season=SEASON)
        check(self.rows["tracker"][0] == ROWS, self.rows)

    def warm(self) -> None:
        """The button's method queues one job, which tells Desk how far it is."""
        statuses = [self.call("rebuild_season_cache").json()["message"]["status"] for _ in range(2)]
        check(statuses == ["started", "already_running"], statuses)
        with self.working() as channel:
            messages = heard(channel, REBUILD, lambda: None)
        last = messages[-1]
        check(last["status"] == "completed", last)
        check(last["report"]["total_records"] == ROWS, last)
        check(all(0 <= m["done"] <= m["total"] for m in messages[:-1] if m["total"]), messages)
        check(len(messages) > 1, "Desk hears nothing before the end")
        check(self.read().status == 200, self.read().body[:300])

    def archive(self) -> None:
        """Archived by a job, with progress; students are told throughout."""
        check("confirm" in self.call("archive_season").body.decode(), "wants no confirmation")
        answer = self.call("archive_season", confirm=1)
        check(answer.json()["message"]["status"] == "started", answer.body[:500])
        due = (200, f"{QUESTIONS} are due")
        refused = [(417, f"Season {SEASON} {text}") for text in ("is being archived", ENDED)]
        told: set[tuple[int, str]] = set()
        with self.working() as channel:
            messages = heard(channel, ARCHIVE, lambda: told.add(spoken(self.read())))
        last = messages[-1]
        check(last.get("status") == "completed", last)
        check(last["report"]["records_archived"] == ROWS, last)
        check(any("phase" in m for m in messages), "Desk hears nothing before the end")
        # A process may believe for ten seconds what it read of the season, but finds no rows gone.
        check(told <= {due, *refused}, told)
        wait_until(lambda: spoken(self.read()) == refused[1], "the student is told that it is over")
        rows = self.view.execute("rows", season=SEASON)
        check(rows == {"tracker": [0, 0], "archive": self.rows["tracker"]}, rows)

    def migrate(self) -> None:
        """Another migration finds nothing to do."""
        before = self.view.execute("tables")
        # In the bench's own folder: Frappe's migrate knows no Redis on a socket, as the view's are.
        command = [str(self.view.python), "-m", "frappe.utils.bench_helper", "frappe"]
        command += ["--site", self.view.site, "migrate"]
        sites = self.view.bench / "sites"
        done = subprocess.run(command, cwd=sites, capture_output=True, text=True, check=False)
        check(done.returncode == 0, (done.stdout + done.stderr)[-1000:])
        after = self.view.execute("tables")
        check(before == after, [name for name in before if before[name] != after.get(name)])
        check(self.view.execute("rows", season=SEASON)["archive"] == self.rows["tracker"], "rows")

    def restore(self) -> None:
        """The command line brings the rows back, and the student reads them."""
        command = [str(self.program), "archive", "--sites-path", str(self.view.sites)]
        command += ["--site", self.view.site, "--season", SEASON, "--restore", "--yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        check(done.returncode == 0, done.stdout + done.stderr)
        check(self.view.execute("rows", season=SEASON) == self.rows, "rows")
        wait_until(lambda: self.read().status == 200, "the student reads again")


def heard(channel: redis.client.PubSub, event: str, meanwhile: Callable[[], object]) -> list[Any]:
    """What Desk is told under this name, up to the message that says how it ended."""
    messages: list[Any] = []
    end = time.monotonic() + 300
    while time.monotonic() < end:
        meanwhile()
        got = channel.get_message(ignore_subscribe_messages=True, timeout=0.05)
        said = json.loads(got["data"]) if got else {}
        if said.get("event") == event:
            check(said["message"]["season"] == SEASON, said)
            print(f"      {event} to {said['room']}: {json.dumps(said['message'])}")
            messages.append(said["message"])
            if "status" in said["message"]:
                return messages
    raise AssertionError(f"no end of {event}: {messages}")


def spoken(answer: Answer) -> tuple[int, str]:
    """Status, and what a student reads there."""
    body = answer.json()
    if answer.status == 200:
        return 200, f"{body['message']['total_due']} are due"
    return answer.status, json.loads(json.loads(body["_server_messages"])[0])["message"]


def play(view: View, program: Path, stage: dict[str, Any]) -> int:
    """All steps, as far as they go; how many failed."""
    with view.gunicorn() as frappe:
        doors = Doors(view.site, stage["frappe"], frappe, frappe)
        cycle = Cycle(view, doors, log_in(doors, view, stage), program)
        steps = {
            "a season made by REST has its partition": cycle.make,
            f"its cache of {ROWS:,} questions is filled": cycle.warm,
            "it is archived": cycle.archive,
            "a migration changes nothing": cycle.migrate,
            "it is restored": cycle.restore,
        }
        # What follows a step that failed has nothing to begin with.
        return next((1 for what, step in steps.items() if passes(what, step)), 0)


def tidy(view: View) -> None:
    """Remove the season, however far it came."""
    view.execute("forget_season", season=SEASON)


if __name__ == "__main__":
    well = "a season came and went and came back"
    sys.exit(bench_site.main(__doc__, play, well, "the cycle failed", tidy))
