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

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import bench_site
from bench_site import Doors, log_in
from doors import flows, switches
from doors.cases import Case, Logins, all_cases
from doors.exchange import differences
from doors.view import View


def verdict(doors: Doors, case: Case) -> tuple[str, list[str]]:
    """Send it to both; ``same``, ``declined`` or ``DIFFERENT``, and why."""
    frappe, sidecar = doors.ask("Frappe", case.request), doors.ask("sidecar", case.request)
    if doors.version == 15 and frappe.status != case.status:
        why = f"Frappe answers {frappe.status}, not {case.status}: {frappe.body[:300]!r}"
        return "DIFFERENT", [why]
    if sidecar.declined and case.may_decline:
        return "declined", [f"left to Frappe: {sidecar.declined}"]
    different = differences(frappe, sidecar)
    return ("DIFFERENT", different) if different else ("same", [])


def compare(doors: Doors, stage: dict[str, Any], logins: Logins) -> int:
    """Send all cases; how many differ."""
    counts: Counter[str] = Counter()
    for case in all_cases(stage, logins):
        found, why = verdict(doors, case)
        counts[found] += 1
        if found != "same":
            print(f"{found:10} {case.name}")
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
        failed += switches.compare_under(view, partial(verdict, doors), logins)
    # Anew: processes remember for some seconds that no season was active.
    with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar)
        failed += flows.through_both_doors(view, doors.ask, stage)
        failed += flows.unavailable(view, doors.ask, stage)
        failed += flows.standard_workers(view, doors.ask, stage)
        failed += flows.long_work(view, doors.ask, stage)
    view.configure(workers={"srs_write": {"timeout": 300, "background_workers": 1}})
    with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
        doors = Doors(view.site, stage["frappe"], frappe, sidecar)
        failed += flows.own_queue(view, doors.ask, stage)
    return failed


if __name__ == "__main__":
    sys.exit(bench_site.main(__doc__, play, "both doors answer alike", "{failed} differences"))
