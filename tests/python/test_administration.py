"""`memora/api/srs.py` and the sidecar judge what an administrator says alike.

The app must import without the wheel, so it has words and bounds of its own. Here each is asked
the same; Frappe itself is not needed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from serving import make_manager, sidecar
from stage import BOB, ROOT, SEASON, Site, Stage, students

SRS = ROOT / "frappe_app/memora/api/srs.py"
# Whether the app takes it; what only Frappe can judge the sidecar declines.
DECLINED = 421


class ThrownError(Exception):
    """What `frappe.throw` raises."""


class Frappe:
    """As much of Frappe as those functions need."""

    @staticmethod
    def throw(message: str) -> None:
        """Refuse."""
        raise ThrownError(message)


def of_the_app() -> dict[str, Any]:
    """The app's constants, and its functions that judge arguments."""
    wanted = {"_confirmed", "_sample_size"}
    body: list[ast.stmt] = [
        node
        for node in ast.parse(SRS.read_text()).body
        if isinstance(node, ast.Assign)
        or (isinstance(node, ast.FunctionDef) and node.name in wanted)
    ]
    found: dict[str, Any] = {"frappe": Frappe, "_": str}
    exec(compile(ast.Module(body, []), SRS, "exec"), found)  # noqa: S102
    assert wanted <= found.keys()
    return found


APP = of_the_app()


def takes(judge: Callable[[Any], object], value: Any) -> bool:
    """Whether the app takes it."""
    try:
        judge(value)
    except ThrownError:
        return False
    return True


@pytest.fixture(scope="module")
def site(stage: Stage) -> Site:
    """A site whose System Manager is Bob."""
    site = stage.site(students=students(BOB))
    make_manager(site, BOB)
    return site


@pytest.fixture(scope="module")
def ask(site: Site) -> Iterator[Callable[..., requests.Response]]:
    """Ask the sidecar, as Bob."""
    with sidecar(site) as port, requests.Session() as session:
        session.headers["X-Frappe-Site-Name"] = site.name
        session.headers["Authorization"] = site.tokens[BOB]

        def ask(method: str, **how: Any) -> requests.Response:
            url = f"http://127.0.0.1:{port}/api/method/memora.api.srs.{method}"
            return session.post(url, timeout=60, **how)

        yield ask


WORDS: list[Any] = [
    *(True, False, 0, 1, 2, 1.0, None, [1], ["1"], {}),
    *("", "1", "0", "true", "True", "TRUE", "yes", "on", " 1", "1 "),
]
SIZES: list[Any] = [
    *(99, 100, 101, 100_000, 100_001, -100, 0, 100.0, 1e5, None, True, [], [100]),
    *("", "x", "99", "100", "0100", "100000", "100001", "+500", "-500", " 500"),
    *("5e2", "1_000", "9" * 40, "\u0661\u0660\u0660"),
]


@pytest.mark.parametrize("said", WORDS, ids=repr)
def test_the_same_words_confirm(ask: Callable[..., requests.Response], said: Any) -> None:
    confirms = takes(APP["_confirmed"], said)
    ways: list[dict[str, Any]] = [{"json": {"season": SEASON, "confirm": said}}]
    if isinstance(said, str):
        ways.append({"data": {"season": SEASON, "confirm": said}})
    for way in ways:
        answer = ask("archive_season", **way)
        # The season is active, which is found out by whoever confirmed.
        assert answer.status_code == 417, answer.text
        assert ("confirm: this cannot be undone" in answer.text) == (not confirms), answer.text
        assert ("active" in answer.text) == confirms, answer.text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: repr(size)[:20])
def test_the_same_sizes_of_a_sample(ask: Callable[..., requests.Response], size: Any) -> None:
    taken = takes(APP["_sample_size"], size)
    ways: list[dict[str, Any]] = [{"json": {"sample_size": size}}]
    if isinstance(size, str):
        ways.append({"data": {"sample_size": size}})
    for way in ways:
        answer = ask("trigger_reconciliation", **way)
        if answer.status_code == DECLINED:
            # Digits of other scripts, which Python reads.
            assert answer.headers["x-memora-decline"] == "sample-size"
            assert taken
            continue
        assert answer.status_code == (200 if taken else 417), answer.text


@pytest.mark.parametrize(
    ("file", "constant", "value"),
    [
        ("services/administer/mod.rs", "AT_ONCE", APP["AT_ONCE"]),
        ("services/administer/mod.rs", "MIN_SAMPLE", APP["MIN_SAMPLE"]),
        ("services/reconcile/mod.rs", "MAX_SAMPLE", APP["MAX_SAMPLE"]),
    ],
)
def test_the_same_bounds(file: str, constant: str, value: int) -> None:
    text = (ROOT / "rust-core/src" / file).read_text()
    found = re.search(rf"\bconst {constant}: u\d+ = ([\d_]+);", text)
    assert found
    assert int(found[1]) == value
