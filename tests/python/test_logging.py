"""The engine's log lines come to Python's logging."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

import pytest

from forks import in_child
from memora_srs import ReviewService
from stage import ANN, BOB, Site, Stage, students


class Hearing(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, heard: list[logging.LogRecord]) -> None:
        super().__init__()
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.heard.append(record)


@pytest.fixture
def without_redis(stage: Stage) -> ReviewService:
    """A service whose Redis with the schedules is away."""
    config = {"srs_redis_cache": "redis://127.0.0.1:1"}
    return ReviewService(*stage.site(students=students(ANN), config=config).args)


def test_a_line_is_there_when_the_call_returns(
    without_redis: ReviewService, caplog: pytest.LogCaptureFixture
) -> None:
    assert without_redis.get_review_session(ANN)["is_degraded"]
    [record] = [r for r in caplog.records if "Reading without the cache" in r.message]
    assert record.name == "memora_srs"
    assert record.levelno == logging.WARNING
    assert "site=" in record.message


def test_a_call_that_goes_well_logs_nothing(
    reviews: ReviewService, caplog: pytest.LogCaptureFixture
) -> None:
    reviews.get_review_session(ANN)
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        for _ in range(10):
            reviews.get_review_session(ANN)
        reviews.submit_review_session(ANN, [{"question_id": "STAGE-000:0", "quality": 4}])
    assert caplog.records == []


def test_a_child_logs_too(without_redis: ReviewService) -> None:
    without_redis.get_review_session(ANN)

    def child() -> int:
        heard: list[logging.LogRecord] = []
        logging.getLogger("memora_srs").addHandler(Hearing(heard))
        # In Safe Mode each student reads once in half a minute.
        without_redis.get_review_session(BOB)
        return len(heard)

    assert in_child(child) >= 1


def test_a_handler_may_use_the_engine(without_redis: ReviewService, reviews: ReviewService) -> None:
    heard: list[int] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(reviews.get_review_session(ANN)["total_due"])

    logger = logging.getLogger("memora_srs")
    handler = Asking(logging.WARNING)
    logger.addHandler(handler)
    try:
        without_redis.get_review_session(ANN)
    finally:
        logger.removeHandler(handler)
    assert heard
    assert set(heard) == {5}


def test_background_work_logs_without_a_caller(site: Site) -> None:
    # The fill that follows a read stops, and says so when nobody waits for it.
    code = f"""
import logging, time, memora_srs
logging.basicConfig(level=logging.WARNING)
reviews = memora_srs.ReviewService({site.name!r}, {str(site.sites_path)!r})
reviews.get_reviews_safe_mode({ANN!r}, "SEASON-2026")
reviews.get_review_session({ANN!r})
time.sleep(1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MEMORA_FAILPOINTS": "before_publish=fail"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING:memora_srs:" in done.stderr, done.stderr


def test_an_interpreter_ends_while_work_goes_on(site: Site) -> None:
    code = f"""
import logging, memora_srs
logging.basicConfig(level=logging.DEBUG)
memora_srs.ReviewService({site.name!r}, {str(site.sites_path)!r}).get_review_session({ANN!r})
"""
    for _ in range(10):
        site.redis.flushdb()
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"MEMORA_FAILPOINTS": "before_publish=fail"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 10
