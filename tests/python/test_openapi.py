"""`docs/openapi.json` says what a sidecar answers: asked with whatever it allows, and does not."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

import memora_srs
from serving import PROGRAM, make_manager
from stage import ANN, BOB, ROOT, SEASON, Site, Stage, students

DOCUMENT = ROOT / "docs/openapi.json"
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# Enough that each argument is once left out, once at its bounds and once of another type.
EXAMPLES = 30
LONG = 1000

SCHEMA = schemathesis.openapi.from_path(DOCUMENT)
OPERATIONS: dict[str, Any] = {}
for found in SCHEMA.get_all_operations():
    operation = found.ok()  # type: ignore[union-attr]
    OPERATIONS[operation.definition.raw["operationId"]] = operation
STUDENTS = [name for name in OPERATIONS if name.endswith("_review_session")]
ADMINISTRATORS = [
    name
    for name, found in OPERATIONS.items()
    if found.path.startswith("/api/method/memora.api.srs.")
]
WITH_ARGUMENTS = [
    name for name in STUDENTS + ADMINISTRATORS if OPERATIONS[name].body or OPERATIONS[name].query
]
# On the address of `--metrics-bind`.
MONITORING = ["metrics", "readyz"]
# What nobody needs to log in for, and what sends whoever has not to where they can.
OPEN = ["healthz", "openapi", *MONITORING]
REDIRECTING = ["page", "page_without_slash"]
OLD = "SEASON-2025"
# What each is asked with at least once, so that it is known to work: its arguments where it
# needs any, and the status of those that have no 200.
WORKS: dict[str, dict[str, Any]] = {
    "submit_review_session": {"responses": [{"question_id": "STAGE-000:1", "quality": 4}]},
    "rebuild_season_cache": {"season": SEASON},
    "trigger_reconciliation": {"sample_size": 100, "season": SEASON},
    "archive_season": {"season": OLD, "confirm": 1},
    "get_archive_status": {"season": SEASON},
    "delete_eligible_archived_records": {"season": OLD, "confirm": 1},
}
NOT_200 = {"page_without_slash": 302}


class Sidecar:
    """`memora-srs serve`, which students and Bob, a System Manager, may ask."""

    def __init__(self, site: Site) -> None:
        self.site = site
        free = "127.0.0.1:0"
        serve = [str(PROGRAM), "serve", "--sites-path", str(site.sites_path)]
        self.process = subprocess.Popen(
            [*serve, "--bind", free, "--metrics-bind", free],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().removeprefix("listening on ").strip()
        monitoring = self.process.stdout.readline().removeprefix("metrics on ")
        self.monitoring_url = monitoring.removesuffix("/metrics\n")
        make_manager(site, BOB)
        # Sessions without a CSRF token.
        self.sids = dict(site.sql("SELECT user, sid FROM tabSessions"))
        self.connection = requests.Session()
        self.connection.headers["X-Frappe-Site-Name"] = site.name

    def ask(self, case: schemathesis.Case[Any], user: str | None) -> Any:
        """Send a case, as somebody or as a guest, and hold the answer against the document."""
        case.cookies = {"sid": self.sids[user]} if user else {}
        name = case.operation.definition.raw["operationId"]
        url = self.monitoring_url if name in MONITORING else self.url
        answer = case.call(base_url=url, session=self.connection, allow_redirects=False)
        # What a student's answer brought is not sent with a guest's question.
        self.connection.cookies.clear()
        case.validate_response(answer, checks=CHECKS)
        return answer


@pytest.fixture(scope="module")
def sidecar(stage: Stage) -> Iterator[Sidecar]:
    """One for all: what it answers does not depend on what was asked before."""
    site = stage.site(students=students(ANN, BOB))
    site.sql(
        "INSERT INTO `tabGame Subscription Season` (name, season_name, creation, modified,"
        " start_date, end_date) VALUES (%s, %s, NOW(), NOW(), '2025-01-01', '2025-12-31')",
        OLD,
        OLD,
    )
    memora_srs.PartitionManager(*site.args).create_season_partition(OLD)
    sidecar = Sidecar(site)
    yield sidecar
    sidecar.connection.close()
    sidecar.process.terminate()
    sidecar.process.communicate(timeout=30)


def statuses(sidecar: Sidecar, name: str, mode: Any, examples: int) -> set[int]:
    """Ask one operation many times; which statuses came."""
    operation = OPERATIONS[name]
    user = ANN if name in STUDENTS else BOB
    seen = set()

    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        seen.add(sidecar.ask(case, user).status_code)

    ask()
    return seen


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_the_document_allows_is_answered_as_it_says(sidecar: Sidecar, name: str) -> None:
    seen = statuses(sidecar, name, GenerationMode.POSITIVE, EXAMPLES)
    if name in STUDENTS:
        assert 200 in seen
        # A season or a subject that there is not; JSON that only Python reads.
        assert seen <= {200, 404, 409, 417, 421}
    # A season that there is not, mostly.
    if name in ADMINISTRATORS:
        assert seen <= {200, 404, 409, 417, 421}


def case_of(name: str, arguments: dict[str, Any]) -> Any:
    """Make a call with arguments, in the body where there may be one."""
    operation = OPERATIONS[name]
    if not arguments:
        return operation.Case()
    if operation.body:
        return operation.Case(body=arguments, media_type="application/json")
    return operation.Case(query=arguments)


def works(name: str) -> dict[str, Any]:
    """Say with which arguments an operation does what it is for."""
    found = [arguments for method, arguments in WORKS.items() if name.endswith(method)]
    return found[0] if found else {}


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_does_what_it_is_for(sidecar: Sidecar, name: str) -> None:
    user = ANN if name in STUDENTS else BOB
    answer = sidecar.ask(case_of(name, works(name)), user)
    assert answer.status_code == NOT_200.get(name, 200), answer.text


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_what_it_does_not_allow_is_refused_as_it_says(sidecar: Sidecar, name: str) -> None:
    seen = statuses(sidecar, name, GenerationMode.NEGATIVE, EXAMPLES)
    # Of a body of which nothing is needed, what is of no use is not looked at.
    assert 417 in seen
    assert 500 not in seen or OPERATIONS[name].body


@pytest.mark.parametrize("name", ADMINISTRATORS)
def test_administrators_operations_are_for_nobody_else(sidecar: Sidecar, name: str) -> None:
    assert sidecar.ask(case_of(name, works(name)), ANN).status_code == 403


@pytest.mark.parametrize("name", [n for n in ADMINISTRATORS if "get_" not in n])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_changes_something_is_post_only(sidecar: Sidecar, name: str, method: str) -> None:
    answer = sidecar.connection.request(
        method,
        sidecar.url + OPERATIONS[name].path,
        params={} if method != "GET" else works(name),
        json=works(name) if method != "GET" else None,
        cookies={"sid": sidecar.sids[BOB]},
    )
    sidecar.connection.cookies.clear()
    assert (answer.status_code, answer.json()["exc_type"]) == (403, "PermissionError")


@pytest.mark.parametrize("name", [*MONITORING, "healthz"])
def test_where_monitoring_comes_only_get_is_answered(sidecar: Sidecar, name: str) -> None:
    url = sidecar.monitoring_url + OPERATIONS[name].path
    answer = sidecar.connection.post(url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert set(answer.json()) == {"error"}


def test_health_is_the_same_on_both_addresses(sidecar: Sidecar) -> None:
    urls = [sidecar.url, sidecar.monitoring_url]
    both = [sidecar.connection.get(f"{url}/healthz").json() for url in urls]
    assert both == [{"message": {"status": "ok"}}] * 2


def test_the_document_has_every_path_of_the_sidecar() -> None:
    """What a route has is a path of the document, in each version of Frappe's URLs."""
    router = (ROOT / "sidecar/src/router.rs").read_text()
    methods = set(re.findall(r'"(memora\.api\.[a-z_.]+)"', router.split("#[cfg(test)]")[0]))
    paths = {found.path for found in OPERATIONS.values()}
    assert len(methods) == 8
    assert {f"/api/method/{method}" for method in methods} <= paths
    others = {"/healthz", "/metrics", "/readyz", "/memora-srs", "/memora-srs/"}
    assert others | {"/memora-srs/openapi.json", "/memora-srs/status.json"} <= paths


@pytest.mark.parametrize("name", STUDENTS)
def test_what_is_declined_says_why_as_it_says(sidecar: Sidecar, name: str) -> None:
    operation = OPERATIONS[name]
    body: dict[str, Any] = {"body": {"responses": []}} if operation.body else {}
    declined = operation.Case(query={"cmd": "frappe.ping"}, **body)
    assert sidecar.ask(declined, ANN).status_code == 421


# What the document bounds: the least that is too much of each.
BEYOND: list[tuple[str, dict[str, Any]]] = [
    ("get_review_session", {"query": {"limit": 0}}),
    ("get_review_session", {"query": {"limit": 51}}),
    ("submit_review_session", {"body": {"responses": []}}),
    ("submit_review_session", {"body": {"responses": [{"question_id": "q", "quality": 3}] * 51}}),
    ("submit_review_session", {"body": {"responses": [{"question_id": "q", "quality": 6}]}}),
    ("submit_review_session", {"body": {"responses": [{"question_id": "q", "quality": -1}]}}),
    ("submit_review_session", {"body": {"responses": [{"question_id": "q", "quality": "3"}]}}),
    ("submit_review_session", {"body": {"responses": [{"question_id": 3, "quality": 3}]}}),
]


@pytest.mark.parametrize(("name", "asked"), BEYOND, ids=lambda value: str(value)[:60])
def test_the_bounds_of_the_document_are_those_of_the_sidecar(
    sidecar: Sidecar, name: str, asked: dict[str, Any]
) -> None:
    case = OPERATIONS[name].Case(**asked)
    assert sidecar.ask(case, ANN).status_code == 417


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize("name", STUDENTS)
def test_many_more(sidecar: Sidecar, name: str, mode: Any) -> None:
    statuses(sidecar, name, mode, LONG)


@pytest.mark.parametrize("name", [n for n in OPERATIONS if n not in OPEN + REDIRECTING])
def test_nobody_is_answered_without_a_login(sidecar: Sidecar, name: str) -> None:
    operation = OPERATIONS[name]
    body: dict[str, Any] = {"body": {"responses": []}} if operation.body else {}
    guest = operation.Case(**body)
    assert sidecar.ask(guest, None).status_code in (403, 421)
    stranger = operation.Case(headers={"Authorization": "token a:b"}, **body)
    assert sidecar.ask(stranger, None).status_code in (401, 421)


def test_the_page_sends_guests_to_log_in(sidecar: Sidecar) -> None:
    answer = sidecar.ask(OPERATIONS["page"].Case(), None)
    assert (answer.status_code, answer.headers["location"][0][:7]) == (302, "/login?")
    assert sidecar.ask(OPERATIONS["page"].Case(), ANN).status_code == 403
    assert sidecar.ask(OPERATIONS["page_status"].Case(), ANN).status_code == 403


def test_the_sidecar_has_the_document(sidecar: Sidecar) -> None:
    with urllib.request.urlopen(f"{sidecar.url}/memora-srs/openapi.json") as answer:  # noqa: S310
        assert answer.headers["content-type"] == "application/json"
        assert answer.read() == DOCUMENT.read_bytes()
