"""Errors: classes, attributes, and what never reaches Python."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import memora_srs
from memora_srs import (
    ConfigError,
    InternalError,
    InvalidInputError,
    MemoraError,
    NotFoundError,
    ReviewService,
    UnavailableError,
)
from stage import ANN, BOB, SEASON, Site

ANSWERS = [{"question_id": "STAGE-000:0", "quality": 4}]


def test_classes_have_a_built_in_one_where_python_has_the_word() -> None:
    for made, built_in in [
        ("InvalidInputError", ValueError),
        ("UnauthorizedError", PermissionError),
        ("ForbiddenError", PermissionError),
        ("NotFoundError", LookupError),
        ("UnavailableError", ConnectionError),
    ]:
        assert issubclass(getattr(memora_srs, made), built_in), made


def test_an_error_can_be_pickled_with_all_it_says() -> None:
    for name in memora_srs.__all__:
        made = getattr(memora_srs, name)
        if isinstance(made, type) and issubclass(made, MemoraError):
            error = made("later", retry_after=1.5, submission_id="s-1")
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is made
            assert (str(again), again.retry_after, again.submission_id) == ("later", 1.5, "s-1")


def test_a_site_that_is_not_there(site: Site) -> None:
    for name in ("none.test", "../etc", ""):
        with pytest.raises(NotFoundError, match="does not exist$"):
            ReviewService(name, site.sites_path).get_active_season()


def test_a_configuration_that_is_wrong_names_the_key(site: Site) -> None:
    site.set_config(srs_max_questions="many")
    with pytest.raises(ConfigError, match="srs_max_questions"):
        ReviewService(*site.args).get_active_season()


def test_arguments_of_another_type_are_pythons_matter(reviews: ReviewService) -> None:
    with pytest.raises(TypeError):
        reviews.get_review_session(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ReviewService(site=5)  # type: ignore[arg-type]


def test_a_submit_that_cannot_be_confirmed_says_with_what_to_come_back(
    private: Site, freeze: Callable[[int], None]
) -> None:
    reviews = ReviewService(*private.args)
    reviews.get_review_session(ANN)
    # Each of the two alone may be away.
    for pid in (private.mariadb_pid, private.queue_pid):
        freeze(pid)
    with pytest.raises(UnavailableError) as caught:
        reviews.submit_review_session(BOB, ANSWERS, "s-1")
    assert caught.value.submission_id == "s-1"
    assert caught.value.retry_after == 1.0
    for pid in (private.mariadb_pid, private.queue_pid):
        os.kill(pid, signal.SIGCONT)
    assert reviews.submit_review_session(BOB, ANSWERS, "s-1")["status"] == "success"


PANIC = """
import sys, memora_srs
reviews = memora_srs.ReviewService(*sys.argv[1:])
for _ in range(3):
    try:
        reviews.submit_review_session("ann@example.com", [{"question_id": "Q", "quality": 4}])
    except Exception as error:  # a PanicException would pass
        assert type(error) is memora_srs.InternalError, type(error)
        assert str(error) == "The engine failed", error
    else:
        raise AssertionError("it did not fail")
assert reviews.get_review_session("ann@example.com")["total_due"] == 5
"""


@pytest.mark.parametrize("failure", ["after_state=panic", "before_cache=panic"])
def test_a_panic_is_an_error_like_others(site: Site, failure: str) -> None:
    environment = os.environ | {"MEMORA_FAILPOINTS": failure}
    done = subprocess.run(
        [sys.executable, "-c", PANIC, *map(str, site.args)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "failpoint" in done.stderr, "nothing panicked: is the wheel built with failpoints?"


def test_every_error_is_a_memora_error() -> None:
    assert issubclass(InternalError, MemoraError)
    assert issubclass(InvalidInputError, MemoraError)


def test_values_that_change_what_they_are_in_are_no_panic(reviews: ReviewService) -> None:
    class Clearing:
        def __init__(self) -> None:
            self.answer: dict[str, Any] = {
                "question_id": "STAGE-000:0",
                "at": self,
                "quality": 4,
            }
            self.answers: list[dict[str, Any]] = [self.answer, {"question_id": "Q", "at": self}]

        def isoformat(self) -> str:
            self.answer.update({f"more-{i}": i for i in range(len(self.answer))})
            self.answers.clear()
            return "2026-01-01"

    for _ in range(3):
        answers = Clearing().answers
        answer = reviews.submit_review_session(ANN, answers)
        assert answer["processed"] == 1


def test_strange_values_are_refused_and_nothing_is_taken(
    reviews: ReviewService, persistence: memora_srs.SRSPersistenceService, site: Site
) -> None:
    class Text(str):
        pass

    class Whole(int):
        pass

    loop: list[object] = []
    loop.extend([loop] * 50)
    good = {"question_id": "STAGE-000:0", "quality": 4}
    strange: list[Any] = [
        True,
        10**400,
        -(10**400),
        float("nan"),
        float("inf"),
        4.5,
        "\udc80",
        b"4",
        loop,
        object(),
        {"\udc80": 1},
        {1: 2},
        datetime(2026, 1, 1, tzinfo=timezone.utc),
    ]
    for field in ("question_id", "quality", "response_time_ms"):
        for value in strange:
            if field == "question_id" and isinstance(value, datetime):
                continue  # A text like any other.
            bad = good | {field: value}
            with pytest.raises(InvalidInputError):
                reviews.submit_review_session(ANN, [good, bad])
            with pytest.raises(InvalidInputError):
                persistence.persist_review_batch([good, bad], ANN, SEASON)
            with pytest.raises(InvalidInputError):
                persistence.persist_single_review(bad, ANN, SEASON)
    for value in strange:
        with pytest.raises(InvalidInputError):
            reviews.submit_review_session(ANN, value)
        with pytest.raises(InvalidInputError):
            reviews.submit_review_session(ANN, [good], value)
        for ready in ({"new_stability": value}, {"new_next_review_date": value}):
            whole = {"new_stability": 2.0, "new_next_review_date": "2026-01-01 00:00:00"} | ready
            with pytest.raises(InvalidInputError):
                persistence.persist_review_batch([good | whole], ANN, SEASON)
    assert site.sql("SELECT COUNT(*) FROM memora_srs_journal") == [(0,)]
    fancy = {Text("question_id"): Text("STAGE-000:0"), "quality": Whole(4)}
    assert reviews.submit_review_session(Text(ANN), (fancy,))["processed"] == 1


def test_when_a_job_was_queued_may_be_said_in_any_zone(
    persistence: memora_srs.SRSPersistenceService, site: Site
) -> None:
    # Not so long ago that the journal may have forgotten it.
    at = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
    for i, zone in enumerate([timezone.utc, ZoneInfo("UTC"), ZoneInfo("Asia/Riyadh")]):
        answer = {"question_id": f"STAGE-000:{i}", "quality": 4}
        persistence.persist_review_batch(
            [answer], ANN, SEASON, job_id=f"j-{i}", enqueued_at=at.astimezone(zone)
        )
        logged = site.sql(
            "SELECT created_at FROM memora_srs_review_log WHERE submission_id = %s", f"j-{i}"
        )
        assert logged == [(at.replace(tzinfo=None),)], zone
