"""What scripts share that play on a site of a real bench: who asks, how a run begins and ends.

    compare_doors.py, season_cycle.py, front_of_frappe.py  BENCH [--site SITE] --program memora-srs

The site must have ``allow_tests``, and the app and the wheel installed; MariaDB must run. What a
run makes is removed at its end.
"""

from __future__ import annotations

import argparse
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from doors.cases import FORM, Logins
from doors.exchange import Answer, Request, send
from doors.view import View, open_view
from frappe_tests import default_site

CSRF = ("X-Frappe-CSRF-Token", "0123456789abcdef" * 3)

# What is played: the site, the program, and what ``doors_stage.prepare`` made; how much failed.
Play = Callable[[View, Path, dict[str, Any]], int]


class Doors:
    """The doors of a site, by name."""

    def __init__(self, site: str, version: int, frappe: int, sidecar: int, **more: int) -> None:
        """Take Frappe's major version, and the ports."""
        self.site, self.version = site, version
        self.ports = {"Frappe": frappe, "sidecar": sidecar, **more}

    def ask(self, door: str, request: Request) -> Answer:
        """Send a request to one of them."""
        return send(self.ports[door], self.site, request)


def log_in(doors: Doors, view: View, stage: dict[str, Any]) -> Logins:
    """Everybody who asks, in every way."""
    ann, manager = stage["tokens"]["ann"], stage["tokens"]["manager"]
    desk = session(doors, stage, "manager")
    view.execute("give_csrf_token", sid=desk, token=CSRF[1])
    return Logins(
        token=("Authorization", f"token {ann}"),
        manager=("Authorization", f"token {manager}"),
        basic=("Authorization", "Basic " + b64encode(ann.encode()).decode()),
        session=("Cookie", f"sid={session(doors, stage, 'ann')}"),
        desk=("Cookie", f"sid={desk}"),
        csrf=CSRF,
    )


def session(doors: Doors, stage: dict[str, Any], name: str, door: str = "Frappe") -> str:
    """Log in by password, as a browser does; the session's id."""
    body = urlencode({"usr": stage["people"][name], "pwd": stage["password"]}).encode()
    answer = doors.ask(door, Request("POST", "/api/method/login", (FORM,), body))
    for key, value in answer.headers:
        if key.lower() == "set-cookie" and value.startswith("sid="):
            return value.split(";")[0].removeprefix("sid=")
    raise AssertionError(f"no session for {name}: {answer.status} {answer.body[:300]!r}")


def main(
    what: str | None,
    play: Play,
    well: str,
    badly: str,
    tidy: Callable[[View], object] | None = None,
) -> int:
    """Play on the site that the command line names: exit code 0 if nothing failed.

    ``what``: the script's documentation; ``well`` and ``badly``: the last line, which may name the
    ``{failed}``; ``tidy`` removes what ``doors_stage.clean`` does not know.
    """
    parser = argparse.ArgumentParser(description=what)
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
            if tidy:
                tidy(view)
            view.execute("clean", before=stage["before"])
    print(f"{site}: {badly.format(failed=failed) if failed else well}")
    return 1 if failed else 0
