"""Whether both doors answer alike: ``compare_doors.py BENCH [--site SITE] --program memora-srs``.

Sends the same requests to Frappe (gunicorn ``--preload``, as bench runs it) and to the
sidecar, on one site of a real bench, and compares status, named headers and body. Then
submits through one door and reads through the other, and has Frappe's own workers apply
what was submitted, through the wheel.

The site must have ``allow_tests``, and the app and the wheel installed; MariaDB must run.
Students and seasons of the comparison are removed at its end. Exit code 1 if something
differs.
"""

from __future__ import annotations

import argparse
import sys
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from doors import flows, switches
from doors.cases import FORM, Case, Logins, all_cases
from doors.exchange import Answer, Request, differences, send
from doors.view import View, open_view
from frappe_tests import default_site

CSRF = ("X-Frappe-CSRF-Token", "0123456789abcdef" * 3)


class Doors:
    """Both doors of a site."""

    def __init__(self, site: str, version: int, frappe: int, sidecar: int) -> None:
        """Take Frappe's major version, and the ports."""
        self.site, self.version = site, version
        self.ports = {"Frappe": frappe, "sidecar": sidecar}

    def ask(self, door: str, request: Request) -> Answer:
        """Send a request to one of them."""
        return send(self.ports[door], self.site, request)

    def compare(self, case: Case) -> tuple[str, list[str]]:
        """Send it to both; ``same``, ``declined`` or ``DIFFERENT``, and why."""
        frappe, sidecar = self.ask("Frappe", case.request), self.ask("sidecar", case.request)
        if self.version == 15 and frappe.status != case.status:
            why = f"Frappe answers {frappe.status}, not {case.status}: {frappe.body[:300]!r}"
            return "DIFFERENT", [why]
        if sidecar.declined and case.may_decline:
            return "declined", [f"left to Frappe: {sidecar.declined}"]
        different = differences(frappe, sidecar)
        return ("DIFFERENT", different) if different else ("same", [])


def log_in(doors: Doors, view: View, stage: dict[str, Any]) -> Logins:
    """Everybody who asks, in every way."""
    ann = stage["tokens"]["ann"]
    desk = session(doors, stage, "manager")
    view.execute("give_csrf_token", sid=desk, token=CSRF[1])
    return Logins(
        token=("Authorization", f"token {ann}"),
        basic=("Authorization", "Basic " + b64encode(ann.encode()).decode()),
        session=("Cookie", f"sid={session(doors, stage, 'ann')}"),
        desk=("Cookie", f"sid={desk}"),
        csrf=CSRF,
    )


def session(doors: Doors, stage: dict[str, Any], name: str) -> str:
    """Log in by password, as a browser does; the session's id."""
    body = urlencode({"usr": stage["people"][name], "pwd": stage["password"]}).encode()
    answer = doors.ask("Frappe", Request("POST", "/api/method/login", (FORM,), body))
    for key, value in answer.headers:
        if key.lower() == "set-cookie" and value.startswith("sid="):
            return value.split(";")[0].removeprefix("sid=")
    raise AssertionError(f"no session for {name}: {answer.status} {answer.body[:300]!r}")


def compare(doors: Doors, stage: dict[str, Any], logins: Logins) -> int:
    """Send all cases; how many differ."""
    counts: Counter[str] = Counter()
    for case in all_cases(stage, logins):
        verdict, why = doors.compare(case)
        counts[verdict] += 1
        if verdict != "same":
            print(f"{verdict:10} {case.name}")
            print("".join(f"           {line}\n" for line in why), end="")
    print(f"{counts.total()} requests: {', '.join(f'{n} {v}' for v, n in counts.items())}")
    return counts["DIFFERENT"]


def play(view: View, program: Path, stage: dict[str, Any]) -> int:
    """Everything, on the servers that are started for it; how many steps failed."""
    failed = 0
    with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar)
        logins = log_in(doors, view, stage)
        failed += compare(doors, stage, logins)
        failed += switches.compare_under(view, doors.compare, logins)
    # Anew: processes remember for some seconds that no season was active.
    with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar)
        failed += flows.through_both_doors(view, doors.ask, stage)
        failed += flows.unavailable(view, doors.ask, stage)
        failed += flows.standard_workers(view, doors.ask, stage)
    view.configure(workers={"srs_write": {"timeout": 300, "background_workers": 1}})
    with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar)
        failed += flows.own_queue(view, doors.ask, stage)
    return failed


def main() -> int:
    """Exit code 0 if nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--site", default="", help="default: the bench's default_site")
    parser.add_argument("--program", type=Path, required=True, help="the sidecar, memora-srs")
    args = parser.parse_args()
    site = args.site or default_site(args.bench)
    if not site:
        parser.error("the bench has no default_site: name a site")
    with open_view(args.bench, site) as view:
        stage = view.execute("prepare")
        try:
            failed = play(view, args.program.resolve(), stage)
            if failed:
                print(view.logs())
        finally:
            view.configure()
            view.forget_outages()
            view.execute("clean", before=stage["before"])
    print(f"{site}: {f'{failed} differences' if failed else 'both doors answer alike'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
