"""The requests that both doors are asked, each with the status that is right.

The statuses are Frappe 15's; of another Frappe it is only asked that both doors agree.
A new case: one line in ``reads``, ``submits``, ``refusals``, ``administration`` or
``doors_of_frappe``.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from doors.exchange import Request

READ = "memora.api.reviews.get_review_session"
SUBMIT = "memora.api.reviews.submit_review_session"
SRS = "memora.api.srs."
V1, V2 = "/api/v1/method/", "/api/v2/method/"
PLAIN = "/api/method/"

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")

GOOD = {"question_id": "Stage 1:Frage-ä-1", "quality": 4, "response_time_ms": 1500}

LONG = "x" * 141

# What is refused, by field.
BAD_READS: dict[str, tuple[Any, ...]] = {
    "limit": (0, 51, -1, 1.5, "", "x", "5x", " 5x ", [], {}, 10**30, "1e1"),
    "subject": ("", 5, [], {}, True, LONG, " blank", "tab\t", "line\n"),
    "season": ("", 5, [], LONG, " blank", "nul\x00"),
}
BAD_ANSWERS: dict[str, tuple[Any, ...]] = {
    "question_id": ("", 5, None, [], LONG, " blank", "nul\x00", "Zeile\n"),
    "quality": (-1, 6, 2.5, "", "x", None, [], "4", True),
    "response_time_ms": (-1, 86_400_001, 1.5, "x", [], "1500"),
}
BAD_RESPONSES: tuple[Any, ...] = (
    *([], [GOOD] * 51, {}, "", "no json", "[]", None, 5),
    *([5], ["x"], [[]], [None]),
)
BAD_IDS: tuple[Any, ...] = ("", " x", "ä", "a b", "x" * 65, 5, [], True)


@dataclass(frozen=True)
class Case:
    """A request, and the status that is right."""

    name: str
    request: Request
    status: int
    # The sidecar may leave it to Frappe, by 421: what it cannot judge exactly.
    may_decline: bool = False


@dataclass(frozen=True)
class Logins:
    """Headers of those who ask."""

    token: tuple[str, str]
    # Of a System Manager; the others are students.
    manager: tuple[str, str]
    basic: tuple[str, str]
    # A session that wants no CSRF token, and one that wants ``csrf``.
    session: tuple[str, str]
    desk: tuple[str, str]
    csrf: tuple[str, str]


def all_cases(stage: dict[str, Any], logins: Logins) -> Iterator[Case]:
    """Every case that this Frappe knows, in the order in which they are sent."""
    for case in _all(stage, logins):
        # Frappe 14 has no versions in its URLs.
        if stage["frappe"] > 14 or case.request.target.startswith(PLAIN):
            yield case


def _all(stage: dict[str, Any], logins: Logins) -> Iterator[Case]:
    yield from reads(stage, logins)
    yield from bad_reads(stage, logins)
    yield from submits(logins)
    yield from bad_submits(logins)
    yield from refusals(logins)
    yield from administration(stage, logins)
    yield from doors_of_frappe(logins)


def get(
    method: str, login: tuple[str, str] | None, query: str = "", prefix: str = PLAIN
) -> Request:
    """A GET."""
    return Request(
        "GET", prefix + method + (f"?{query}" if query else ""), (login,) if login else ()
    )


def post(
    method: str,
    login: tuple[str, str] | None,
    value: Any,
    *more: tuple[str, str],
    prefix: str = PLAIN,
) -> Request:
    """A POST of JSON."""
    return typed("POST", method, login, value, *more, prefix=prefix)


def typed(
    http_method: str,
    method: str,
    login: tuple[str, str] | None,
    value: Any,
    *more: tuple[str, str],
    prefix: str = PLAIN,
) -> Request:
    """Any request with a body of JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = (*((login,) if login else ()), JSON, *more)
    return Request(http_method, prefix + method, headers, body)


def form(
    method: str, login: tuple[str, str] | None, fields: Any, *more: tuple[str, str]
) -> Request:
    """A POST of a form."""
    headers = (*((login,) if login else ()), FORM, *more)
    return Request("POST", PLAIN + method, headers, urlencode(fields).encode())


def multipart(method: str, login: tuple[str, str], fields: dict[str, str]) -> Request:
    """A POST of a form in parts."""
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    headers = (login, ("Content-Type", "multipart/form-data; boundary=cut"))
    return Request("POST", PLAIN + method, headers, ("".join(parts) + "--cut--\r\n").encode())


def reads(stage: dict[str, Any], logins: Logins) -> Iterator[Case]:
    """Reads that succeed."""
    token = logins.token
    for name, login in (("token", token), ("basic", logins.basic), ("session", logins.session)):
        yield Case(f"read with {name}", get(READ, login), 200)
    for prefix in (V1, V2):
        yield Case(f"read {prefix}", get(READ, token, "limit=3", prefix), 200)
    for query in (
        "limit=5",
        "limit=50",
        "limit=1&limit=7",
        "limit=2&_=123&unknown=x&flags=1",
        f"season={stage['season']}",
        f"season={stage['season'].lower()}",
        f"subject={quote(stage['subjects'][0])}",
        f"subject={quote(stage['subjects'][1])}&limit=2",
        "subject=no+such+subject",
    ):
        yield Case(f"read ?{query}", get(READ, token, query), 200)
    for value in (
        {},
        {"limit": 3},
        {"limit": "3"},
        {"limit": None},
        {"season": None, "subject": None},
    ):
        yield Case(f"read {json.dumps(value)}", post(READ, token, value), 200)
    yield Case("read by GET with a body", typed("GET", READ, token, {"limit": 2}), 200)
    yield Case("read by PUT", typed("PUT", READ, token, {"limit": 2}), 200)
    yield Case("read by DELETE", typed("DELETE", READ, token, {"limit": 2}), 200)
    yield Case("read, JSON hides the query", post(READ + "?limit=51", token, {"limit": 2}), 200)
    yield Case("read, empty JSON body", post(READ + "?limit=2", token, b""), 200)
    yield Case("read, form beats query", form(READ + "?limit=51", token, {"limit": "2"}), 200)
    yield Case("read, parts of a form", multipart(READ, token, {"limit": "2"}), 200)
    yield Case("read, JSON list as body", post(READ, token, [1, 2]), 200)
    plain_text = Request(
        "POST", PLAIN + READ, (token, ("Content-Type", "text/plain")), b'{"limit": 51}'
    )
    yield Case("read, JSON that says it is text", plain_text, 200)


def bad_reads(stage: dict[str, Any], logins: Logins) -> Iterator[Case]:
    """Reads that are refused: each field, typed and as text, in both envelopes."""
    token = logins.token
    for field, values in BAD_READS.items():
        for bad in values:
            request = post(READ, token, {field: bad})
            yield Case(f"read {field}={str(bad)[:20]!r} as JSON", request, 417)
    for field, text in (
        ("limit", "0"),
        ("limit", "51"),
        ("limit", "x"),
        ("limit", ""),
        ("subject", ""),
    ):
        yield Case(f"read ?{field}={text}", get(READ, token, f"{field}={text}"), 417)
        yield Case(f"read v2 ?{field}={text}", get(READ, token, f"{field}={text}", V2), 417)
    yield Case("read, limit as a form", form(READ, token, {"limit": "99"}), 417)
    yield Case("read, unknown season", get(READ, token, "season=no+such"), 404)
    yield Case("read v2, unknown season", get(READ, token, "season=no+such", V2), 404)
    yield Case("read, unknown season ä <b>", get(READ, token, "season=" + quote("ä <b>&\"'")), 404)
    yield Case("read, archived season", get(READ, token, f"season={stage['archived']}"), 417)


def submits(logins: Logins) -> Iterator[Case]:
    """Submits that are taken; ids differ where answers do, and repeat where they must not."""
    token = logins.token
    one = [GOOD]
    yield Case("submit", post(SUBMIT, token, {"responses": one, "submission_id": "doors-1"}), 200)
    yield Case(
        "the same again", post(SUBMIT, token, {"responses": one, "submission_id": "doors-1"}), 200
    )
    as_form = {"responses": json.dumps(one), "submission_id": "doors-1"}
    yield Case("the same as a form", form(SUBMIT, token, as_form), 200)
    yield Case("the same in parts of a form", multipart(SUBMIT, token, as_form), 200)
    yield Case(
        "the same in the query",
        Request("POST", f"{PLAIN}{SUBMIT}?{urlencode(as_form)}", (token,)),
        200,
    )
    for key, status in (("doors-2", 200), ("doors 2", 417), ("", 417), ("x" * 65, 417)):
        request = post(SUBMIT, token, {"responses": one}, ("Idempotency-Key", key))
        yield Case(f"submit with Idempotency-Key {key[:9]!r}", request, status)
    for http_method in ("PUT", "DELETE"):
        args = {"responses": one, "submission_id": f"doors-{http_method}"}
        yield Case(f"submit by {http_method}", typed(http_method, SUBMIT, token, args), 200)
    new = [{"question_id": f"Neu-{n}", "quality": n % 6} for n in range(50)]
    yield Case(
        "submit 50 new", post(SUBMIT, token, {"responses": new, "submission_id": "doors-50"}), 200
    )
    twice = [
        GOOD,
        {**GOOD, "quality": 1},
        {"question_id": "Neu-1", "quality": 0, "response_time_ms": None},
    ]
    args = {"responses": twice, "submission_id": "doors-twice"}
    yield Case("submit v2, a question twice", post(SUBMIT, token, args, prefix=V2), 200)
    with_session = post(
        SUBMIT, logins.session, {"responses": one, "submission_id": "doors-session"}
    )
    yield Case("submit with a session", with_session, 200)
    desk = {"responses": one, "submission_id": "doors-desk"}
    yield Case("submit with CSRF token", post(SUBMIT, logins.desk, desk, logins.csrf), 200)
    in_form = {
        "responses": json.dumps(one),
        "submission_id": "doors-desk",
        "csrf_token": logins.csrf[1],
    }
    yield Case("submit, CSRF token in a form", form(SUBMIT, logins.desk, in_form), 200)


def bad_submits(logins: Logins) -> Iterator[Case]:
    """Submits that are refused whole."""
    token = logins.token
    taken = {"responses": [{**GOOD, "quality": 1}], "submission_id": "doors-1"}
    yield Case("submit, id of other answers", post(SUBMIT, token, taken), 409)
    yield Case("submit v2, id of other answers", post(SUBMIT, token, taken, prefix=V2), 409)
    for field, values in BAD_ANSWERS.items():
        for bad in values:
            request = post(SUBMIT, token, {"responses": [GOOD, {**GOOD, field: bad}]})
            yield Case(f"submit {field}={str(bad)[:20]!r}", request, 417)
    for field in ("question_id", "quality"):
        without = {key: value for key, value in GOOD.items() if key != field}
        yield Case(f"submit without {field}", post(SUBMIT, token, {"responses": [without]}), 417)
    for bad in BAD_RESPONSES:
        request = post(SUBMIT, token, {"responses": bad})
        yield Case(f"submit responses={str(bad)[:20]}", request, 417)
    yield Case("submit nothing", post(SUBMIT, token, {}), 417)
    yield Case("submit nothing at all", Request("POST", PLAIN + SUBMIT, (token,)), 417)
    yield Case("submit v2 nothing", post(SUBMIT, token, {}, prefix=V2), 417)
    for bad in BAD_IDS:
        args = {"responses": [GOOD], "submission_id": bad}
        yield Case(f"submit id {str(bad)[:9]!r}", post(SUBMIT, token, args), 417)


def refusals(logins: Logins) -> Iterator[Case]:
    """Who may not, and what Frappe's own doors refuse."""
    token = logins.token
    args = {"responses": [GOOD], "submission_id": "doors-refused"}
    for prefix in (PLAIN, V2):
        yield Case(f"Guest reads {prefix}", get(READ, None, prefix=prefix), 403)
        yield Case(f"Guest submits {prefix}", post(SUBMIT, None, args, prefix=prefix), 403)
        yield Case(f"submit by GET {prefix}", get(SUBMIT, token, prefix=prefix), 403)
        yield Case(f"read by PATCH {prefix}", typed("PATCH", READ, token, {}, prefix=prefix), 403)
    yield Case("submit by PATCH", typed("PATCH", SUBMIT, token, args), 403)
    yield Case("read by HEAD", Request("HEAD", PLAIN + READ, (token,)), 403)
    for name, request in (
        ("no CSRF token", post(SUBMIT, logins.desk, args)),
        ("wrong CSRF token", post(SUBMIT, logins.desk, args, (logins.csrf[0], "wrong"))),
        ("v2, no CSRF token", post(SUBMIT, logins.desk, args, prefix=V2)),
    ):
        yield Case(name, request, 400)
    yield Case("read by GET needs no CSRF token", get(READ, logins.desk), 200)
    key = token[1].split(" ")[1].split(":")[0]
    for name, value, status in (
        ("wrong secret", f"token {key}:wrong", 401),
        ("unknown key", "token nobody:wrong", 401),
        ("no secret", f"token {key}", 401),
        ("two colons", f"token {key}:a:b", 401),
        ("unknown scheme", "Digest abc", 401),
        ("Basic that is no base64", "Basic abcde", 400),
        ("Basic of nonsense", "Basic " + b64encode(b"nonsense").decode(), 401),
        ("three parts", f"token {key} more", 403),
    ):
        yield Case(f"credentials: {name}", get(READ, ("Authorization", value)), status)
    yield Case(
        "v2 credentials: wrong secret",
        get(READ, ("Authorization", f"token {key}:wrong"), prefix=V2),
        401,
    )
    unknown = get(READ, ("Cookie", "sid=0123456789abcdef"))
    yield Case("unknown session", unknown, 403, may_decline=True)
    bearer = get(READ, ("Authorization", "Bearer nobody"))
    yield Case("bearer nobody knows", bearer, 401, may_decline=True)
    yield Case("session of a Guest", get(READ, ("Cookie", "sid=Guest")), 403)
    for name, body, status in (
        ("malformed JSON", b"{", 500),
        ("JSON that is a number", b"5", 417),
        ("JSON that is text", b'"x"', 417),
        ("JSON with text behind", b"{} x", 500),
    ):
        yield Case(name, post(SUBMIT, token, body), status)
        yield Case(f"v2, {name}", post(SUBMIT, token, body, prefix=V2), status)
    yield Case("malformed JSON of a Guest", post(SUBMIT, None, b"{"), 500)


# What administrators may change, and look at.
CHANGES = (
    "rebuild_season_cache",
    "trigger_reconciliation",
    "archive_season",
    "delete_eligible_archived_records",
)
LOOKS = ("get_cache_status", "get_archive_status")
# Frappe's alone: what is counted is of the process that answers.
OF_FRAPPE = "get_metrics"

# Values that are no season, no size and no yes.
NO_SEASON: tuple[Any, ...] = (None, "", 5, [], ["x"], {}, True)
NO_SIZE: tuple[Any, ...] = (
    *(99, 100_001, -100, 500.0, 10**30, None, True, []),
    *("", "x", " 500", "+500"),
)
NO_YES: tuple[Any, ...] = (None, False, 0, "0", "", "no", "yes", 1.0, 2, [1])

# What is refused, by method.
BAD_ADMINISTRATION: dict[str, list[tuple[dict[str, Any], int]]] = {
    "rebuild_season_cache": [
        *(({"season": bad}, 417) for bad in NO_SEASON),
        *(({name: "no such ä <b>"}, 404) for name in ("season", "season_name")),
        ({"season": LONG}, 404),
    ],
    "trigger_reconciliation": [
        *(({"sample_size": bad}, 417) for bad in NO_SIZE),
        ({"season": "no such"}, 404),
        ({"season": 5}, 417),
    ],
    "archive_season": [({}, 417), ({"season": "no such", "confirm": 1}, 404)],
    "get_archive_status": [({}, 417), ({"season": "no such"}, 404)],
    "delete_eligible_archived_records": [
        *(({"confirm": no}, 417) for no in NO_YES),
        ({"season": "no such", "confirm": 1}, 404),
    ],
}


def administration(stage: dict[str, Any], logins: Logins) -> Iterator[Case]:
    """What System Managers may do and nobody else; what starts a job is in ``flows``."""
    manager, season, archived = logins.manager, stage["season"], stage["archived"]
    for method in CHANGES + LOOKS:
        args = {"season": season, "confirm": 1}
        for prefix in (PLAIN, V2):
            name = f"{method} {prefix}"
            yield Case(f"Guest: {name}", post(SRS + method, None, args, prefix=prefix), 403)
            request = post(SRS + method, logins.token, args, prefix=prefix)
            yield Case(f"student: {name}", request, 403)
    for method in CHANGES:
        for http_method in ("PUT", "DELETE"):
            request = typed(http_method, SRS + method, manager, {})
            yield Case(f"{method} by {http_method}", request, 403)
        yield Case(f"{method} by GET", get(SRS + method, manager), 403)
        yield Case(f"{method}, no CSRF token", post(SRS + method, logins.desk, {}), 400)
    for method, refused in BAD_ADMINISTRATION.items():
        for args, status in refused:
            request = post(SRS + method, manager, args)
            yield Case(f"{method} {str(args)[:40]}", request, status)
    for no in NO_YES:
        args = {"season": archived, "confirm": no}
        yield Case(f"archive, confirm={no!r}", post(SRS + "archive_season", manager, args), 417)
    active = {"season": season, "confirm": "TRUE"}
    yield Case("archive an active season", post(SRS + "archive_season", manager, active), 417)
    rebuild = post(SRS + "rebuild_season_cache", manager, {"season": archived})
    yield Case("rebuild an archived season", rebuild, 417)
    digits = post(SRS + "trigger_reconciliation", manager, {"sample_size": "\u0661\u0660\u0660"})
    yield Case("sample_size in other digits", digits, 200, may_decline=True)

    metrics = SRS + OF_FRAPPE
    yield Case("metrics", get(metrics, manager), 200, may_decline=True)
    yield Case("metrics as text", get(metrics, manager, "as_text=1"), 200, may_decline=True)
    yield Case("metrics for a student", get(metrics, logins.token), 403, may_decline=True)
    yield Case("metrics for a Guest", get(metrics, None), 403, may_decline=True)

    yield Case("cache status", get(SRS + "get_cache_status", manager), 200)
    yield Case("cache status v2", get(SRS + "get_cache_status", manager, prefix=V2), 200)
    for name in (season, season.lower(), archived):
        query = urlencode({"season": name})
        yield Case(f"status of {name}", get(SRS + "get_archive_status", manager, query), 200)
    query = urlencode({"season_name": season, "season": ""})
    yield Case("status by the other name", get(SRS + "get_archive_status", manager, query), 200)
    for args in ({"sample_size": "100"}, {"sample_size": 100, "season": season}):
        request = post(SRS + "trigger_reconciliation", manager, args)
        yield Case(f"reconcile {args}", request, 200)
    archived_yet = post(SRS + "trigger_reconciliation", manager, {"season": archived}, logins.csrf)
    yield Case("reconcile an archived season", archived_yet, 417)
    delete = form(SRS + "delete_eligible_archived_records", manager, {"confirm": "true"})
    yield Case("delete what there is not", delete, 200)


def doors_of_frappe(logins: Logins) -> Iterator[Case]:
    """What the sidecar may leave to Frappe."""
    token = logins.token
    args = {"limit": 2}
    yield Case("cmd in the query", get(READ, token, f"cmd={READ}"), 200, may_decline=True)
    yield Case("cmd in the body", post(READ, token, {**args, "cmd": READ}), 200, may_decline=True)
    yield Case(
        "sid in the body", post(READ, token, {**args, "sid": "Guest"}), 200, may_decline=True
    )
    page = Request("GET", PLAIN + READ, (token, ("Accept", "text/html")))
    yield Case("read as a page", page, 200, may_decline=True)
    bad_page = Request("GET", PLAIN + READ + "?limit=0", (token, ("Accept", "text/html")))
    yield Case("refused as a page", bad_page, 417, may_decline=True)
    yield Case("trailing slash", get(READ + "/", token), 200, may_decline=True)
    yield Case("a preflight", Request("OPTIONS", PLAIN + READ, (token,)), 200, may_decline=True)
