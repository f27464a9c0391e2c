"""The two endpoints of `peer`, for gunicorn: `gunicorn --workers 2 --threads 4 wsgi:app`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import peer

PREFIX = "/api/method/memora.api.reviews."
StartResponse = Callable[[str, list[tuple[str, str]]], object]


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    status, message = answer(environ)
    body = json.dumps(message, separators=(",", ":")).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def answer(environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find who asks, and do what is asked."""
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    sid = cookie["sid"].value if "sid" in cookie else None
    user = peer.user_of(sid, environ.get("HTTP_AUTHORIZATION"))
    if user is None:
        return "403 Forbidden", {"exc_type": "PermissionError"}
    path = environ["PATH_INFO"]
    try:
        if path == f"{PREFIX}get_review_session":
            limit = int(parse_qs(environ.get("QUERY_STRING", "")).get("limit", ["20"])[0])
            return "200 OK", {"message": peer.get_review_session(user, limit)}
        if path == f"{PREFIX}submit_review_session":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            responses = json.loads(body)["responses"]
            return "200 OK", {"message": peer.submit_review_session(user, responses)}
    finally:
        # As Frappe ends each request: what a thread read before must not be what it reads next.
        peer.db().rollback()
    return "404 Not Found", {"exc_type": "DoesNotExistError"}
