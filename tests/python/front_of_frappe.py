"""nginx before sidecar and Frappe: ``front_of_frappe.py BENCH [--site SITE] --program memora-srs``.

Starts gunicorn, the sidecar, and nginx with the locations that ``memora-srs setup`` prints, and
looks at what a student is told, and at what is in the table afterwards, when the sidecar is not
there, hangs, declines, is killed after each piece that a submit sends to MariaDB and Redis, and
while it is restarted. ``tests/it/deploy.rs`` does it with a Frappe that is played; here it is real.

The site as for ``compare_doors.py``. Exit code 1 if something is not so.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import bench_site
from bench_site import Doors, log_in, session
from doors.cases import GOOD, READ, SUBMIT, Logins, get, post
from doors.exchange import Answer, Request, differences
from doors.flows import STANDARD_QUEUES, check, passes, sweep
from doors.front import Relay, answered_by, nginx
from doors.view import View, free_port, wait_until

# Seconds that nginx waits for the sidecar (proxy_read_timeout of locations.conf).
GIVES_UP = 10
# A submit sends at least so much: its state, its batch, its job.
PIECES = 3
RESTARTS = 3

NGINX, FRAPPE, SIDECAR = "nginx", "Frappe", "sidecar"


class Front:
    """The servers, and two students: ann who has questions, bob who answers new ones."""

    def __init__(self, view: View, program: Path, stage: dict[str, Any], doors: Doors) -> None:
        """Take the servers; nobody is logged in yet."""
        self.view, self.program, self.stage, self.doors = view, program, stage, doors
        self.logins: Logins = log_in(doors, view, stage)
        self.bob = ("Authorization", f"token {stage['tokens']['bob']}")
        # The questions that bob has answered, each once.
        self.answered: set[str] = set()
        # How many requests were answered by whom.
        self.names = {port: name for name, port in doors.ports.items()}
        self.who: Counter[str] = Counter()
        self.lock = threading.Lock()

    def sidecar(self, *options: str, **more: Any) -> contextlib.AbstractContextManager[int]:
        """The sidecar, where nginx looks for it."""
        if "handed" not in more:
            more["port"] = self.doors.ports[SIDECAR]
        return self.view.sidecar(self.program, *options, **more)

    def ask(self, request: Request, by: str | None = None, door: str = NGINX) -> Answer:
        """Send it; ``by``: who must have answered."""
        answer = self.doors.ask(door, request)
        # The sidecar's own door does not say who.
        who = self.names.get(answered_by(answer), door)
        with self.lock:
            self.who[who] += 1
        if by:
            check(who == by, f"{who} answers {answer.status}, not {by}: {answer.body[:300]!r}")
        return answer

    def since(self, begun: Counter[str]) -> Counter[str]:
        """How many were answered since then, by whom."""
        with self.lock:
            return self.who - begun

    def submit(
        self, question: str, by: str | None = None, door: str = NGINX, submission: str = ""
    ) -> str:
        """Have bob answer a question; the job's id."""
        args: dict[str, Any] = {"responses": [{"question_id": question, "quality": 4}]}
        if submission:
            args["submission_id"] = submission
        self.answered.add(question)
        answer = self.ask(post(SUBMIT, self.bob, args), by, door)
        check(answer.status == 200, f"answered {answer.status}: {answer.body[:300]!r}")
        job: str = answer.json()["message"]["persistence_job_id"]
        return job

    def requests(self) -> dict[str, Request]:
        """What has the same answer whoever gives it, however often."""
        bad = {"responses": [GOOD, {**GOOD, "quality": 6}]}
        taken = {"responses": [GOOD], "submission_id": "front-same"}
        return {
            # Before the reads: the first time it is taken.
            "a submit that was taken": post(SUBMIT, self.logins.token, taken),
            "a read": get(READ, self.logins.token, "limit=50"),
            "a read by cookie": get(READ, self.logins.session),
            "a refused read": get(READ, self.logins.token, "limit=0"),
            "a Guest's read": get(READ, None),
            "a refused submit": post(SUBMIT, self.logins.token, bad),
            "a submit without CSRF token": post(SUBMIT, self.logins.desk, taken),
        }

    def apply(self) -> dict[str, Any]:
        """Have Frappe's own workers bring all of it into the table; what is there then."""
        self.view.worker(STANDARD_QUEUES)
        student = self.stage["people"]["bob"]
        if self.view.execute("state", player=student)["unapplied"]:
            # Whoever was to queue a job was killed before.
            self.view.execute("lose_jobs")
            sweep(self.view)
        effects: dict[str, Any] = self.view.execute("effects", player=student)
        return effects

    # The steps, in their order.

    def routed(self) -> None:
        """A student logs in, reads and submits, all through nginx; the row is there."""
        with self.sidecar():
            cookies = {
                name: ("Cookie", f"sid={session(self.doors, self.stage, name, NGINX)}")
                for name in ("ann", "bob")
            }
            due = self.ask(get(READ, cookies["ann"]), SIDECAR).json()["message"]
            check((due["total_due"], len(due["questions"])) == (30, 20), due)
            submit = {"responses": [{"question_id": "control", "quality": 4}]}
            answer = self.ask(post(SUBMIT, cookies["bob"], submit), SIDECAR)
            check(answer.status == 200, answer.body[:300])
            self.answered.add("control")
            effects = self.apply()
            check("control" in effects["rows"], effects)
            check(effects["reviews"] == {"control": 1}, effects)
            # Everything else never comes near the sidecar.
            ping = Request("GET", "/api/method/frappe.ping")
            check(self.ask(ping, FRAPPE).json() == {"message": "pong"}, "Frappe answers a ping")

    def stopped(self) -> None:
        """What the sidecar answered, Frappe answers in its place."""
        with self.sidecar():
            before = self.answers()
        self.compare(before)

    def declines(self) -> None:
        """One request, then all of the site's: Frappe answers them as the sidecar did."""
        with self.sidecar():
            before = self.answers()
            args = {"limit": 50, "cmd": READ}
            there = self.ask(post(READ, self.logins.token, args), FRAPPE).json()
            check(there == before["a read"].json(), there)
            # Within a second of this it declines all.
            self.view.configure(srs_sidecar=0)
            read = self.requests()["a read"]
            frappe = self.doors.ports[FRAPPE]
            wait_until(lambda: answered_by(self.ask(read)) == frappe, "the sidecar declines")
            self.compare(before)
        self.view.configure()

    def answers(self) -> dict[str, Answer]:
        """What the sidecar answers."""
        return {name: self.ask(request, SIDECAR) for name, request in self.requests().items()}

    def compare(self, before: dict[str, Answer]) -> None:
        """The same requests as before: Frappe answers them now, and no otherwise."""
        for name, request in self.requests().items():
            different = differences(self.ask(request, FRAPPE), before[name])
            check(not different, f"{name}: {different}")

    def hangs(self) -> None:
        """After ten seconds Frappe is asked; what the sidecar does later has no effect."""
        took: dict[str, float] = {}

        def timed(name: str, send: Any) -> None:
            began = time.monotonic()
            send()
            took[name] = time.monotonic() - began

        with self.sidecar():
            read = self.requests()["a read"]
            before = self.ask(read, SIDECAR)
            with self.view.frozen("sidecar"):
                together(
                    lambda: timed("read", lambda: same(self.ask(read, FRAPPE), before)),
                    lambda: timed("submit", lambda: self.submit("hung", FRAPPE)),
                )
            check(all(GIVES_UP - 1 < t < GIVES_UP + 5 for t in took.values()), took)
            # It has come to the submit that it had taken in, once it answers what came later.
            self.ask(read, SIDECAR)
        self.once()

    def killed(self, repeats: str) -> None:
        """The sidecar dies at each moment of a submit; who sends it again."""
        relay = Relay(self.view)
        begun = Counter(self.who)
        try:
            moments = 0
            while self.round(relay, repeats, moments + 1):
                moments += 1
        finally:
            relay.close()
        self.once()
        by = self.since(begun)
        check(by[FRAPPE] >= PIECES, f"killed at {moments} moments, answered by {dict(by)}")
        print(f"      killed at {moments} moments of a submit; answered by {dict(by)}")

    def round(self, relay: Relay, repeats: str, pieces: int) -> bool:
        """One submit, and a kill after so many pieces; whether it came to that."""
        question = f"killed-{repeats}-{pieces}"
        with self.sidecar(**relay.environment):
            # Connections are made, and what is asked once is known.
            self.ask(get(READ, self.bob), SIDECAR)
            relay.arm(pieces)
            if repeats == NGINX:
                self.submit(question)
                return relay.disarm()
            try:
                job = self.submit(question, door=SIDECAR, submission=question)
            except (OSError, HTTPException):
                job = self.submit(question, FRAPPE, submission=question)
            killed = relay.disarm()
        with self.sidecar():
            again = self.submit(question, SIDECAR, submission=question)
        check(again == job, f"the first answer was of {job}, the next of {again}")
        return killed

    def once(self) -> None:
        """Each question of bob's was answered once: a batch, a review, the state of one answer."""
        effects = self.apply()
        wanted = dict.fromkeys(self.answered, 1)
        check(effects["reviews"] == wanted, unlike(effects["reviews"], wanted))
        check(len(effects["batches"]) == len(wanted), f"{len(effects['batches'])} batches")
        check(all(effects["batches"].values()), f"not applied: {effects['batches']}")
        states = dict.fromkeys(wanted, effects["rows"]["control"])
        check(effects["rows"] == states, unlike(effects["rows"], states))

    def handed_over(self) -> None:
        """The port is held by somebody else, as systemd does it: nobody is refused."""
        with socket.create_server(("127.0.0.1", self.doors.ports[SIDECAR]), backlog=512) as port:
            busy = Busy(self, [NGINX, NGINX, SIDECAR, SIDECAR])
            for _ in range(RESTARTS):
                with self.sidecar(handed=port):
                    busy.more()
            with self.sidecar(handed=port):
                busy.more()
                busy.end()
        self.once()
        print(f"      {busy.answers.total()} requests: {dict(busy.answers)}")

    def one_of_two(self) -> None:
        """Two on one port, restarted in turn."""
        with contextlib.ExitStack() as all_of_it:
            stacks = [all_of_it.enter_context(contextlib.ExitStack()) for _ in range(2)]

            def start(n: int) -> None:
                one = self.sidecar("--reuse-port", name=f"sidecar-{n}")
                stacks[n].enter_context(one)

            start(0)
            start(1)
            busy = Busy(self, [NGINX] * 4)
            for n in range(2 * RESTARTS):
                busy.more()
                stacks[n % 2].close()
                start(n % 2)
            busy.more()
            busy.end()
        self.once()
        print(f"      {busy.answers.total()} requests: {dict(busy.answers)}")


class Busy:
    """Students who never stop asking, each time on a new connection; each must be answered."""

    def __init__(self, front: Front, doors: list[str]) -> None:
        """Begin, one for each of these doors."""
        self.front = front
        self.stop = threading.Event()
        self.begun = Counter(front.who)
        self.failures: list[str] = []
        self.threads = [
            threading.Thread(target=self.ask, args=(door, f"busy-{time.time_ns()}-{n}"))
            for n, door in enumerate(doors)
        ]
        for thread in self.threads:
            thread.start()

    def ask(self, door: str, name: str) -> None:
        """Read, and now and then submit."""
        read = get(READ, self.front.bob)
        for count in itertools.count():
            if self.stop.is_set():
                return
            try:
                if count % 5 == 0:
                    self.front.submit(f"{name}-{count}", door=door)
                else:
                    answer = self.front.ask(read, door=door)
                    check(answer.status == 200, f"{answer.status}: {answer.body[:300]!r}")
            except (OSError, HTTPException, AssertionError) as e:
                self.failures.append(f"by {door}: {e!r}")
                return

    @property
    def answers(self) -> Counter[str]:
        """How many were answered since the beginning, by whom."""
        return self.front.since(self.begun)

    def more(self) -> None:
        """Wait until some more are answered."""
        before = self.answers.total()
        wait_until(
            lambda: bool(self.failures) or self.answers.total() > before + 60, "more answers"
        )

    def end(self) -> None:
        """Stop; nobody may have failed."""
        self.stop.set()
        for thread in self.threads:
            thread.join()
        check(not self.failures, self.failures)


def same(one: Answer, other: Answer) -> None:
    """They are alike."""
    check(not differences(one, other), differences(one, other))


def unlike(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What differs: (found, wanted) by key."""
    keys = found.keys() | wanted.keys()
    pairs = {key: (found.get(key), wanted.get(key)) for key in keys}
    return {key: (one, other) for key, (one, other) in pairs.items() if one != other}


def together(*works: Any) -> None:
    """Do all at once; raises what the first that failed has raised."""
    failures: list[BaseException] = []

    def run(work: Any) -> None:
        try:
            work()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def steps(front: Front) -> Iterator[tuple[str, Any]]:
    """All of them, by what is so."""
    yield "a student logs in, reads and submits through nginx", front.routed
    yield "the sidecar is stopped: Frappe answers the same", front.stopped
    yield "the sidecar declines: Frappe answers the same", front.declines
    yield f"the sidecar hangs: Frappe answers after {GIVES_UP} s", front.hangs
    yield "it dies in a submit, nginx asks Frappe: one effect", partial(front.killed, NGINX)
    yield (
        "it dies in a submit, the student repeats it: one effect",
        partial(front.killed, "student"),
    )
    yield "restarts on a socket that is handed over fail nobody", front.handed_over
    yield "restarts of one of two on a port fail nobody", front.one_of_two


def play(view: View, program: Path, stage: dict[str, Any]) -> int:
    """All steps; how many failed."""
    sidecar = free_port()
    with view.gunicorn() as frappe, nginx(view, program, frappe, sidecar) as before:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar, nginx=before)
        front = Front(view, program, stage, doors)
        return sum(passes(what, step) for what, step in steps(front))


if __name__ == "__main__":
    well = "whatever becomes of the sidecar, students are answered, and once"
    sys.exit(bench_site.main(__doc__, play, well, "{failed} steps failed"))
