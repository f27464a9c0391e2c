"""The same requests under settings of the site: both doors must notice, and answer alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from doors.cases import GOOD, PLAIN, READ, SUBMIT, V2, Case, Logins, get, post
from doors.exchange import Request
from doors.view import View

# Seconds within which both doors have noticed: configuration is watched, a season is kept
# for ten seconds.
PATIENCE = 30

Compare = Callable[[Case], tuple[str, list[str]]]


@dataclass(frozen=True)
class Switch:
    """A setting, and what is asked under it."""

    name: str
    cases: tuple[Case, ...]
    # Keys of common_site_config.json.
    config: dict[str, Any] = field(default_factory=dict)
    # Whether a season is active.
    active: bool = True


def switches(logins: Logins) -> Iterator[Switch]:
    """All settings that both doors know."""
    token = logins.token
    submit = {"responses": [GOOD], "submission_id": "doors-switch"}
    yield Switch(
        "maintenance",
        (
            Case("read in maintenance", get(READ, token), 503),
            Case("v2 read in maintenance", get(READ, token, prefix=V2), 503),
            Case("submit in maintenance", post(SUBMIT, token, submit), 503),
            Case("a Guest in maintenance", get(READ, None), 503),
        ),
        config={"maintenance_mode": 1},
    )
    yield Switch(
        "schedules away",
        (
            # Once one door has let it in, both refuse, and count the same seconds.
            Case("read too often", get(READ, token), 429),
            Case("v2 read too often", get(READ, token, prefix=V2), 429),
        ),
        config={"srs_redis_cache": "redis://127.0.0.1:1", "srs_safe_mode_user_seconds": 3600},
    )
    yield Switch(
        "no active season",
        (
            Case("submit without a season", post(SUBMIT, token, submit), 417),
            Case("v2 submit without a season", post(SUBMIT, token, submit, prefix=V2), 417),
            # Last: by now the sidecar knows, so that "same" means that Frappe does too.
            Case("read without a season", get(READ, token), 200),
        ),
        active=False,
    )
    origin, evil = (("Origin", f"https://{name}.example.com") for name in ("school", "evil"))
    yield Switch(
        "any origin",
        (
            Case("read of another origin", _from(origin, token), 200, may_decline=True),
            Case("read of no origin", get(READ, token), 200),
        ),
        config={"allow_cors": "*"},
    )
    yield Switch(
        "some origins",
        (
            Case("read of a named origin", _from(origin, token), 200, may_decline=True),
            Case("read of an unnamed one", _from(evil, token), 200, may_decline=True),
        ),
        config={"allow_cors": [origin[1]]},
    )
    wrong = (token[0], f"{token[1].partition(':')[0]}:wrong")
    yield Switch(
        "monitor",
        (
            Case(
                "read with a request id",
                _from(("X-Frappe-Request-Id", "doors-id"), token),
                200,
            ),
            Case(
                "read with a wrong secret and a request id",
                _from(("X-Frappe-Request-Id", "doors-id"), wrong),
                401,
            ),
            Case(
                "no CSRF token, with a request id",
                post(SUBMIT, logins.desk, {"responses": []}, ("X-Frappe-Request-Id", "doors-id")),
                400,
            ),
        ),
        config={"monitor": 1},
    )


def _from(header: tuple[str, str], login: tuple[str, str], query: str = "") -> Request:
    return Request("GET", f"{PLAIN}{READ}?{query}", (login, header))


def compare_under(view: View, compare: Compare, logins: Logins) -> int:
    """Turn each switch, and compare; how many requests are answered otherwise."""
    different = 0
    for switch in switches(logins):
        _turn(view, switch)
        for case in switch.cases:
            verdict, why = _settled(compare, case)
            different += verdict == "DIFFERENT"
            print(f"{verdict:10} {switch.name}: {case.name}")
            print("".join(f"           {line}\n" for line in why), end="")
        _turn(view, None)
    return different


def _turn(view: View, switch: Switch | None) -> None:
    """Set what the switch says; without one, what is usual."""
    view.configure(**(switch.config if switch else {}))
    if not (switch and switch.active and switch.config):
        view.execute("set_active", active=switch is None or switch.active)


def _settled(compare: Compare, case: Case) -> tuple[str, list[str]]:
    """What is so once both doors have noticed the switch."""
    end = time.monotonic() + PATIENCE
    while True:
        verdict, why = compare(case)
        if verdict != "DIFFERENT" or time.monotonic() > end:
            return verdict, why
        time.sleep(0.2)
