"""`ReviewService`: what a student reads and hands in."""

from __future__ import annotations

import json

import pytest

from memora_srs import ConflictError, InvalidInputError, NotFoundError, ReviewService
from stage import ANN, SEASON, Site, until

ANSWERS = [
    {"question_id": "STAGE-000:0", "quality": 4, "response_time_ms": 5000},
    {"question_id": "STAGE-000:1", "quality": 2},
]


def due(reviews: ReviewService) -> list[str]:
    return [q["question_id"] for q in reviews.get_review_session(ANN)["questions"]]


def test_a_session_is_the_most_overdue_first_and_the_true_total(reviews: ReviewService) -> None:
    session = reviews.get_review_session(ANN, limit=2)
    assert [q["question_id"] for q in session["questions"]] == ["STAGE-000:0", "STAGE-000:1"]
    first = session["questions"][0]
    assert first["stage_id"] == "STAGE-000"
    assert isinstance(first["stability"], float)
    assert "T" in first["next_review_date"]
    assert (session["total_due"], session["is_degraded"], session["season"]) == (5, False, SEASON)


def test_arguments_come_typed_or_as_text(reviews: ReviewService) -> None:
    typed = reviews.get_review_session(ANN, "Mathematics", 3, SEASON)
    as_text = reviews.get_review_session(ANN, subject="Mathematics", limit="3", season=SEASON)
    assert typed == as_text
    assert typed["questions"]
    assert {q["subject"] for q in typed["questions"]} == {"Mathematics"}
    assert reviews.get_review_session(ANN, None, None, None)["total_due"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "limit must be an integer between 1 and 50"),
        ({"limit": 51}, "limit must be an integer between 1 and 50"),
        ({"limit": 10**30}, "limit must be an integer between 1 and 50"),
        ({"limit": float("nan")}, "limit must be an integer between 1 and 50"),
        ({"limit": True}, "limit must be an integer between 1 and 50"),
        ({"limit": object()}, "limit is of a type that is not understood"),
        ({"subject": ""}, "subject must not be empty"),
        ({"subject": 5}, "subject must be a string"),
        ({"subject": "\ud800"}, "subject is no valid text"),
        ({"season": "x" * 141}, "season must have at most 140 characters"),
        ({"user": ""}, "user must not be empty"),
    ],
)
def test_a_wrong_argument_is_named(
    reviews: ReviewService, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}$"):
        reviews.get_review_session(**{"user": ANN} | arguments)  # type: ignore[arg-type]


def test_an_unknown_season_is_not_found(reviews: ReviewService) -> None:
    with pytest.raises(NotFoundError, match="^Season NONE does not exist$"):
        reviews.get_review_session(ANN, season="NONE")


def test_a_submit_shows_in_the_next_session_and_is_in_the_journal(
    reviews: ReviewService, site: Site
) -> None:
    assert len(due(reviews)) == 5
    answer = reviews.submit_review_session(ANN, ANSWERS, "s-1")
    assert answer == {
        "status": "success",
        "processed": 2,
        "xp_earned": 25,
        "persistence_job_id": answer["persistence_job_id"],
    }
    assert answer["persistence_job_id"].startswith(f"{site.name}||srs_persist_")
    assert "STAGE-000:0" not in due(reviews)
    rows = site.sql("SELECT submission_id, payload FROM memora_srs_journal")
    assert [bytes(row[0]) for row in rows] == [b"s-1"]
    assert json.loads(rows[0][1])["door"] == "python"


def test_the_same_submission_has_one_effect(reviews: ReviewService, site: Site) -> None:
    first = reviews.submit_review_session(ANN, ANSWERS, "s-1")
    assert reviews.submit_review_session(ANN, json.dumps(ANSWERS), "s-1") == first
    with pytest.raises(ConflictError):
        reviews.submit_review_session(ANN, ANSWERS[:1], "s-1")
    assert site.sql("SELECT COUNT(*) FROM memora_srs_journal") == [(1,)]


def test_headers_stand_in_for_the_submission_id(reviews: ReviewService, site: Site) -> None:
    reviews.submit_review_session(ANN, ANSWERS, idempotency_key="key", request_id="request")
    reviews.submit_review_session(ANN, ANSWERS, request_id="request")
    ids = site.sql("SELECT submission_id FROM memora_srs_journal ORDER BY created_at")
    assert [bytes(row[0]) for row in ids] == [b"key", b"request"]


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([], "responses must hold 1 to 50 answers, not 0"),
        ("nonsense", "responses must be a list of answers, as JSON"),
        ([{"question_id": "Q"}], r"responses\[0\].quality must be an integer between 0 and 5"),
        (
            [*ANSWERS, {"question_id": "Q", "quality": 6}],
            r"responses\[2\].quality must be an integer between 0 and 5",
        ),
        ([{1: 2}], r"responses\[0\] has a key that is no text"),
    ],
)
def test_one_wrong_answer_refuses_the_batch(
    reviews: ReviewService, site: Site, responses: object, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}$"):
        reviews.submit_review_session(ANN, responses)  # type: ignore[arg-type]
    assert site.sql("SELECT COUNT(*) FROM memora_srs_journal") == [(0,)]


def test_the_active_season(reviews: ReviewService) -> None:
    assert reviews.get_active_season() == SEASON


def test_without_the_cache_the_table_answers_with_what_is_on_its_way(
    reviews: ReviewService, site: Site
) -> None:
    reviews.submit_review_session(ANN, ANSWERS[:1])
    # The submit has the schedule filled in the background: not after it is taken away.
    until("the schedule is filled", lambda: site.redis.exists(f"srs:{ANN}:{SEASON}"))
    site.redis.flushdb()
    session = reviews.get_reviews_safe_mode(ANN, SEASON, None, 2)
    assert session["is_degraded"]
    assert session["total_due"] == 4
    assert [q["question_id"] for q in session["questions"]] == ["STAGE-000:1", "STAGE-000:2"]
    assert site.redis.dbsize() == 0, "the cache was filled"
