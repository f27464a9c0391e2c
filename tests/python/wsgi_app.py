"""A web application on the module, for gunicorn: it has used the engine before any fork."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from memora_srs import ReviewService

reviews = ReviewService(os.environ["SITE"], os.environ["SITES_PATH"])
user = os.environ["STUDENT"]
reviews.get_review_session(user)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer which process answers, and how many questions are due."""
    due = reviews.get_review_session(user)["total_due"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {due}".encode()]
