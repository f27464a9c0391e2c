"""What goes in by one door comes out by the other, and into the table by Frappe's workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from doors.cases import PLAIN, READ, SRS, SUBMIT, V2, get, post
from doors.exchange import Answer, Request, differences
from doors.view import View

Ask = Callable[[str, Request], Answer]

DOORS = ("Frappe", "sidecar")
OTHER = {"Frappe": "sidecar", "sidecar": "Frappe"}

STANDARD_QUEUES = "short,default,long"


def passes(what: str, step: Callable[[], None]) -> int:
    """Do a step, say what became of it; 1 if it failed."""
    try:
        step()
    except AssertionError as e:
        print(f"FAIL  {what}: {e}")
        return 1
    print(f"PASS  {what}")
    return 0


def check(truth: object, what: object) -> None:
    """Fail the step unless it is so."""
    if not truth:
        raise AssertionError(str(what))


class Student:
    """One of the stage's people, at both doors."""

    def __init__(self, view: View, ask: Ask, stage: dict[str, Any], name: str) -> None:
        """Take the API key."""
        self.view, self.ask = view, ask
        self.email = stage["people"][name]
        self.login = ("Authorization", f"token {stage['tokens'][name]}")

    def submit(self, door: str, submission_id: str, *questions: str) -> str:
        """Answer these questions well; id of the job that applies it."""
        responses = [{"question_id": question, "quality": 4} for question in questions]
        args = {"responses": responses, "submission_id": submission_id}
        answer = self.ask(door, post(SUBMIT, self.login, args))
        check(answer.status == 200, f"{door} answers {answer.status}: {answer.body[:300]!r}")
        job: str = answer.json()["message"]["persistence_job_id"]
        return job

    def due(self, door: str) -> list[str]:
        """What is due, by one of the doors."""
        answer = self.ask(door, get(READ, self.login, "limit=50"))
        check(answer.status == 200, f"{door} answers {answer.status}: {answer.body[:300]!r}")
        return [question["question_id"] for question in answer.json()["message"]["questions"]]

    def state(self) -> dict[str, Any]:
        """What the table, the journal and the queues have."""
        state: dict[str, Any] = self.view.execute("state", player=self.email)
        return state


def through_both_doors(view: View, ask: Ask, stage: dict[str, Any]) -> int:
    """A submit by one door shows in the other's next read; the same id has the same answer."""
    student = Student(view, ask, stage, "ann")

    def shows_at_once(door: str) -> None:
        question = student.due(OTHER[door])[0]
        check(question in student.due(door), "both doors show it before")
        student.submit(door, f"cross-{door}", question)
        check(question not in student.due(OTHER[door]), f"{question} is still due")

    def repeats(door: str) -> None:
        jobs = [student.submit(d, f"twice-{door}", "Neu") for d in (door, OTHER[door], door)]
        check(len(set(jobs)) == 1, jobs)

    failed = 0
    for door in DOORS:
        failed += passes(
            f"submit by {door}, read by {OTHER[door]} at once", partial(shows_at_once, door)
        )
        failed += passes(f"submit by {door}, repeated by {OTHER[door]}", partial(repeats, door))
    return failed


def unavailable(view: View, ask: Ask, stage: dict[str, Any]) -> int:
    """Without journal and queue both doors answer 503, when to come back, with what; then once."""
    student = Student(view, ask, stage, "ann")

    def refused() -> None:
        with view.journal_locked(), view.frozen("redis-queue"):
            args = {
                "responses": [{"question_id": "Neu-503", "quality": 4}],
                "submission_id": "doors-503",
            }
            for prefix in (PLAIN, V2):
                request = post(SUBMIT, student.login, args, prefix=prefix)
                frappe, sidecar = ask("Frappe", request), ask("sidecar", request)
                check(
                    frappe.status == 503, f"Frappe answers {frappe.status}: {frappe.body[:300]!r}"
                )
                check(frappe.header("retry-after"), "Frappe does not say when to come back")
                check(frappe.json().get("submission_id") == "doors-503", frappe.body)
                check(not differences(frappe, sidecar), differences(frappe, sidecar))

    def taken_once() -> None:
        jobs = {student.submit(door, "doors-503", "Neu-503") for door in (*DOORS, *DOORS)}
        check(len(jobs) == 1, jobs)

    failed = passes("both doors answer 503 without journal and queue", refused)
    return failed + passes("repeated with that id, it is taken once", taken_once)


def standard_workers(view: View, ask: Ask, stage: dict[str, Any]) -> int:
    """Only Frappe's own queues and workers: a job on ``default``, or the scheduler's sweep."""
    student = Student(view, ask, stage, "bob")

    def queued(door: str) -> None:
        job = student.submit(door, f"standard-{door}", f"standard-{door}")
        jobs = student.state()["jobs"]
        check(job in jobs.get("default", []), f"{job} is not on default: {json.dumps(jobs)[:500]}")

    def applied(*questions: str) -> None:
        view.worker(STANDARD_QUEUES)
        state = student.state()
        check(not state["unapplied"], f"{state['unapplied']} batches are not applied")
        check(set(questions) <= set(state["versions"]), f"rows: {sorted(state['versions'])}")

    def swept() -> None:
        for door in DOORS:
            student.submit(door, f"lost-{door}", f"lost-{door}")
        view.execute("lose_jobs")
        sweep(view)
        applied("lost-Frappe", "lost-sidecar")

    failed = 0
    for door in DOORS:
        failed += passes(f"submit by {door} queues a job on default", partial(queued, door))
    failed += passes(
        "a standard worker applies them", partial(applied, "standard-Frappe", "standard-sidecar")
    )
    return failed + passes("lost jobs are swept by the scheduler's job", swept)


def sweep(view: View) -> None:
    """Have the scheduler's job bring in what is overdue: one visit finds, one applies."""
    for _visit in range(2):
        view.frappe(
            "--site",
            view.site,
            "trigger-scheduler-event",
            "memora.services.srs_sweeper.enqueue_sweep",
        )
        view.worker(STANDARD_QUEUES)


def long_work(view: View, ask: Ask, stage: dict[str, Any]) -> int:
    """A rebuild is one job on ``long``, whichever door is asked, and Frappe's worker does it."""
    manager = ("Authorization", f"token {stage['tokens']['manager']}")
    args = {"season": stage["season"]}

    def asked(door: str) -> dict[str, Any]:
        answer = ask(door, post(SRS + "rebuild_season_cache", manager, args))
        check(answer.status == 200, f"{door} answers {answer.status}: {answer.body[:300]!r}")
        message: dict[str, Any] = answer.json()["message"]
        return message

    def one_job(door: str) -> None:
        first, second = asked(door), asked(OTHER[door])
        check(first["status"] == "started", first)
        check(second == {**first, "status": "already_running"}, f"{first}, then {second}")
        waiting = view.execute("waiting_jobs").get("long", [])
        check(len(waiting) == 1, f"on long: {waiting}")
        check(waiting[0].endswith(first["job_id"]), waiting)
        view.worker(STANDARD_QUEUES)
        look = get(SRS + "get_season_infrastructure", manager, urlencode(args))
        done = ask("Frappe", look).json()["message"]["rebuild"]
        check(done and done["note"]["state"] == "completed", done)
        check(not view.execute("waiting_jobs").get("long"), "the job waits still")

    return sum(
        passes(f"a rebuild asked of {door} is one job, done by Frappe", partial(one_job, door))
        for door in DOORS
    )


def own_queue(view: View, ask: Ask, stage: dict[str, Any]) -> int:
    """The bench names ``srs_write``: jobs go there, and a worker of that queue applies them."""
    student = Student(view, ask, stage, "bob")

    def applied() -> None:
        jobs = {student.submit(door, f"own-{door}", f"own-{door}") for door in DOORS}
        waiting = student.state()["jobs"].get("srs_write", [])
        check(jobs <= set(waiting), f"{jobs} are not on srs_write: {waiting}")
        view.worker("srs_write")
        state = student.state()
        check(not state["jobs"].get("srs_write"), f"jobs wait: {state['jobs']}")
        check(not state["unapplied"], f"{state['unapplied']} batches are not applied")
        check(
            {"own-Frappe", "own-sidecar"} <= set(state["versions"]),
            f"rows: {sorted(state['versions'])}",
        )

    return passes("bench worker --queue srs_write applies what both doors queued", applied)
