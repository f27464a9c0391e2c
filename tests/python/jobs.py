"""Jobs for RQ's worker, which forks for each."""

from __future__ import annotations

import os

from memora_srs import ReviewService

if "WARM" in os.environ:
    # The worker itself has used the engine when it forks.
    SITE, SITES_PATH, STUDENT = os.environ["WARM"].split("|")
    ReviewService(SITE, SITES_PATH).get_review_session(STUDENT)


def read(site: str, sites_path: str, user: str) -> tuple[int, int]:
    """Which process this is, and how many questions are due."""
    return os.getpid(), ReviewService(site, sites_path).get_review_session(user)["total_due"]


def read_from_table(site: str, sites_path: str, user: str, season: str) -> int:
    """How many questions are due, by the table."""
    session = ReviewService(site, sites_path).get_reviews_safe_mode(user, season)
    return session["total_due"]
