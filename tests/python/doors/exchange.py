"""A request, its two answers, and what of them must be the same.

Status, body, and the named headers. Masked is what differs by construction: ids of errors, when
and how long something was done, values and ages of cookies. Frappe answers a Guest, and whoever
comes with a token, with cookies of a Guest, which the sidecar leaves out (they would log a browser
out), and of a session's five cookies the sidecar sends the one whose age slides.
"""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any

HEADERS = (
    "content-type",
    "retry-after",
    "location",
    "allow",
    "www-authenticate",
    "vary",
    "cache-control",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "x-frappe-request-id",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
)

# Ids of errors, in messages (twice escaped) and in ``errors`` of v2.
MASKED = re.compile(r', ?(\\*")__frappe_exc_id\1: ?\1[0-9a-f]*\1')

# What a look at the cache and a report say of the moment.
MOMENT = re.compile(
    r'("(?:seconds|started_at|memory_used_mb|keys_looked_at|keys_in_redis)":)("[^"]*"|[0-9.e+-]+)'
)

# Seconds for an answer.
TIMEOUT = 60


@dataclass(frozen=True)
class Request:
    """What is sent, to either door."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def declined(self) -> str | None:
        """Why the sidecar leaves this to Frappe, if it does."""
        return self.header("x-memora-decline")

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def send(port: int, site: str, request: Request) -> Answer:
    """Send a request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        connection.putheader("X-Frappe-Site-Name", site)
        for name, value in request.headers:
            connection.putheader(name, value)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def masked(answer: Answer) -> dict[str, Any]:
    """What of an answer must be the same at both doors."""
    same: dict[str, Any] = {"status": answer.status, "body": masked_body(answer)}
    same |= {name: value for name in HEADERS if (value := answer.header(name)) is not None}
    if cookies := masked_cookies(answer):
        same["cookies"] = cookies
    return same


def masked_body(answer: Answer) -> str:
    """The body as it was sent, but for what is masked: order of keys, spaces and escapes count."""
    return MOMENT.sub(r"\1*", MASKED.sub("", answer.body.decode(errors="replace")))


def masked_cookies(answer: Answer) -> list[str]:
    """Cookies that matter, sorted: ``name deleted``, or the session's with its attributes."""
    values = [value for key, value in answer.headers if key.lower() == "set-cookie"]
    return sorted({cookie for value in values if (cookie := _cookie(value))})


def _cookie(text: str) -> str | None:
    """One cookie without what tells time; None for one that does not matter."""
    first, *attributes = text.split("; ")
    name, _, value = first.partition("=")
    ages = {attribute.partition("=")[0].lower() for attribute in attributes}
    if not value.strip('"') and "expires" in ages and "max-age" not in ages:
        return f"{name} deleted"
    if name != "sid" or value == "Guest":
        return None
    timeless = [a for a in attributes if not a.lower().startswith(("expires", "max-age"))]
    return "; ".join(["sid set", *sorted(timeless, key=str.lower)])


def differences(frappe: Answer, sidecar: Answer) -> list[str]:
    """What is not the same, a line each."""
    left, right = masked(frappe), masked(sidecar)
    return [
        f"{key}: Frappe {left.get(key)!r}, sidecar {right.get(key)!r}"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]
