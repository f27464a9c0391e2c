"""`SRSPersistenceService`: accepted answers come into the table, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
import rq

from memora_srs import (
    InvalidInputError,
    Journal,
    NotFoundError,
    ReviewService,
    SRSPersistenceService,
    SRSRedisManager,
)
from stage import ANN, SEASON, Site

HERE = Path(__file__).parent
ANSWERS = [
    {"question_id": "STAGE-000:0", "quality": 4},
    {"question_id": "STAGE-000:1", "quality": 5, "response_time_ms": 900},
]
WORKER = """
import sys, redis, rq
connection = redis.Redis.from_url(sys.argv[1])
rq.Worker([sys.argv[2]], connection=connection).work(burst=True)
"""


def audits(site: Site) -> list[tuple[Any, ...]]:
    return site.sql("SELECT job_id, door, result FROM memora_srs_audit ORDER BY created_at")


def test_a_submits_job_is_run_by_rqs_worker_through_the_module(
    reviews: ReviewService, site: Site
) -> None:
    answer = reviews.submit_review_session(ANN, ANSWERS, "s-1")
    assert site.row("STAGE-000:0", "review_version") == 0
    connection = redis.Redis.from_url(site.queue_url)
    job = rq.job.Job.fetch(answer["persistence_job_id"], connection=connection)
    paths = [str(HERE / "app_stand_in"), str(HERE / "stand_in")]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SITE": site.name,
        "SITES_PATH": str(site.sites_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", WORKER, site.queue_url, job.origin],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert job.get_status(refresh=True) == "finished", done.stderr
    assert job.return_value() == {"success": True, "processed_count": 2}
    assert site.row("STAGE-000:0", "review_version") > 0
    [(job_id, door, _)] = audits(site)
    assert (job_id, door) == (answer["persistence_job_id"], "python")


def test_raw_answers_are_one_submission_under_the_jobs_id(
    persistence: SRSPersistenceService, site: Site
) -> None:
    enqueued = datetime.now(timezone.utc) - timedelta(hours=1)
    for at in (enqueued, enqueued.replace(tzinfo=None), enqueued.timestamp()):
        result = persistence.persist_review_batch(
            ANSWERS, ANN, SEASON, job_id="old-1", enqueued_at=at
        )
        assert result == {"success": True, "processed_count": 2}
    assert len(audits(site)) == 1
    reviewed = site.row("STAGE-000:0", "last_review_date")
    expected = enqueued.astimezone(ZoneInfo(site.zone)).replace(tzinfo=None)
    assert abs(reviewed - expected) < timedelta(milliseconds=1)


def test_answers_may_be_json_text_and_carry_ready_states(
    persistence: SRSPersistenceService, site: Site
) -> None:
    due = datetime(2027, 1, 2, 3, 4, 5)
    ready = {
        "question_id": "STAGE-000:2",
        "quality": 4,
        "new_stability": 2.5,
        "new_next_review_date": due,
    }
    persistence.persist_review_batch([ready], ANN, SEASON, 0, job_id="old-2")
    assert site.row("STAGE-000:2", "next_review_date") == due
    persistence.persist_review_batch(json.dumps(ANSWERS), ANN, SEASON, job_id="old-3")
    assert site.row("STAGE-000:1", "review_version") > 0


def test_a_single_review_is_in_the_table_and_the_cache_at_once(
    persistence: SRSPersistenceService, site: Site
) -> None:
    schedules = SRSRedisManager(*site.args)
    schedules.get_due_items_with_rehydration(ANN, SEASON)
    assert persistence.persist_single_review(ANSWERS[0], ANN, SEASON) is True
    assert site.row("STAGE-000:0", "review_version") > 0
    assert "STAGE-000:0" not in schedules.get_due_items(ANN, SEASON)


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([{"question_id": "Q", "quality": 9}], r"^responses\[0\]\.quality"),
        ([{"quality": 4}], r"^responses\[0\]\.question_id"),
        ([], "^responses"),
        ("nonsense", "^responses"),
        ([{"question_id": object()}], r"^responses\[0\]\.question_id is of a type"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_changes(
    persistence: SRSPersistenceService, site: Site, responses: Any, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        persistence.persist_review_batch(responses, ANN, SEASON, job_id="bad")
    assert site.sql("SELECT COUNT(*) FROM memora_srs_journal") == [(0,)]


def test_an_unknown_season_or_user_is_not_found(persistence: SRSPersistenceService) -> None:
    with pytest.raises(NotFoundError, match="NONE"):
        persistence.persist_review_batch(ANSWERS, ANN, "NONE", job_id="j")
    with pytest.raises(NotFoundError, match="nobody"):
        persistence.persist_review_batch(ANSWERS, "nobody@example.com", SEASON, job_id="j")


@pytest.mark.parametrize("wrong", ["yesterday", object(), float("nan")])
def test_a_time_that_is_none_is_refused(persistence: SRSPersistenceService, wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="^enqueued_at must be"):
        persistence.persist_review_batch(ANSWERS, ANN, SEASON, enqueued_at=wrong)


def test_the_sweep_applies_what_no_job_has(
    persistence: SRSPersistenceService, reviews: ReviewService, site: Site
) -> None:
    reviews.submit_review_session(ANN, ANSWERS)
    site.sql(
        "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 HOUR,"
        " next_try_at = next_try_at - INTERVAL 1 HOUR"
    )
    assert persistence.sweep() == 1
    assert site.row("STAGE-000:0", "review_version") > 0
    assert persistence.sweep(max_rows=5) == 0


def test_subject_and_topic_of_new_questions_are_filled_in(
    persistence: SRSPersistenceService, reviews: ReviewService, site: Site
) -> None:
    persistence.persist_single_review({"question_id": "NEW:1", "quality": 0}, ANN, SEASON)
    version = site.row("NEW:1", "review_version")
    ids = ["NEW:1", "STAGE-000:0", "NONE:1"]
    assert persistence.questions_without_info(ANN, SEASON, ids) == ["NEW:1"]
    info = {"NEW:1": ("Mathematics", None), "STAGE-000:0": ("Physics", None)}
    assert persistence.fill_question_info(ANN, SEASON, info) == 1
    assert site.row("NEW:1", "subject") == "Mathematics"
    assert site.row("NEW:1", "review_version") == version
    assert persistence.questions_without_info(ANN, SEASON, ids) == []


def test_the_next_review_is_wall_time_of_the_site(
    persistence: SRSPersistenceService, site: Site
) -> None:
    now = datetime.now(ZoneInfo(site.zone)).replace(tzinfo=None)
    fresh = persistence._calculate_next_review({"quality": 4})
    assert fresh.tzinfo is None
    assert timedelta(hours=1) < fresh - now < timedelta(days=2)
    known = persistence._calculate_next_review(
        {
            "quality": 4,
            "stability": 2.0,
            "next_review_date": now,
            "last_review_date": str(now - timedelta(days=3)),
        }
    )
    assert timedelta(days=6.9) < known - now < timedelta(days=7.1)
    assert persistence._calculate_next_review(
        {"new_next_review_date": "2027-01-02T03:04:05"}
    ) == datetime(2027, 1, 2, 3, 4, 5)
    with pytest.raises(InvalidInputError, match=r"^response\.quality"):
        persistence._calculate_next_review({"quality": 7})


def test_the_next_review_is_what_applying_makes_of_a_wall_time_that_comes_twice(
    persistence: SRSPersistenceService, site: Site
) -> None:
    site.sql(
        "UPDATE tabSingles SET value = 'Europe/Berlin'"
        " WHERE doctype = 'System Settings' AND field = 'time_zone'"
    )
    ready = {"new_stability": 2.0, "new_next_review_date": datetime(2027, 10, 31, 2, 30)}
    due = persistence._calculate_next_review(ready)
    assert due == datetime(2027, 10, 31, 3, 0)
    persistence.persist_single_review({"question_id": "STAGE-000:0"} | ready, ANN, SEASON)
    assert site.row("STAGE-000:0", "next_review_date") == due


def test_a_batch_is_logged(
    persistence: SRSPersistenceService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "memora_srs"):
        persistence._audit_log(ANN, SEASON, 2, job_id="j")
        persistence._audit_log(ANN, SEASON, 0, error="no such season")
    assert [r.levelname for r in caplog.records] == ["INFO", "ERROR"]
    assert all("SRSPersistenceService" in r.message for r in caplog.records)


def test_the_rules_of_trying_again_are_known() -> None:
    assert SRSPersistenceService.MAX_RETRIES == 3
    assert SRSPersistenceService.RETRY_DELAY_BASE == 1
    assert SRSPersistenceService.RETRY_DELAY_MAX == 60


def test_what_became_of_a_job(
    persistence: SRSPersistenceService, reviews: ReviewService, site: Site
) -> None:
    answer = reviews.submit_review_session(ANN, ANSWERS, "s-status")
    job_id = answer["persistence_job_id"]
    assert persistence.get_persistence_status(job_id) == {
        "job_id": job_id,
        "status": "queued",
        "tries": 0,
        "error": None,
    }
    persistence.persist_review_batch(ANSWERS, ANN, SEASON, submission_id="s-status")
    assert persistence.get_persistence_status(job_id)["status"] == "applied"
    assert persistence.get_persistence_status("no job")["status"] == "unknown"


def test_the_journal_is_listed_retried_and_dismissed(reviews: ReviewService, site: Site) -> None:
    journal = Journal(*site.args)
    for submission in ("s-1", "s-2"):
        reviews.submit_review_session(ANN, ANSWERS, submission)
    assert [row["submission_id"] for row in journal.list(player=ANN)] == ["s-1", "s-2"]
    assert journal.count(states=["pending"]) == 2
    assert journal.list(states=["applied"], start=0, limit=5) == []
    shown = journal.show(ANN, "s-1")
    assert shown["payload"]["items"][0]["question_id"] == "STAGE-000:0"
    assert shown["rq_status"] == "queued"
    assert journal.retry(submission_id="s-1", dry_run=True)["dry_run"] is True
    assert len(journal.retry(submission_id="s-1")["entries"]) == 1
    assert len(journal.dismiss("root", player=ANN, submission_id="s-2")["entries"]) == 1
    assert journal.show(ANN, "s-2")["state"] == "dismissed"
    with pytest.raises(NotFoundError):
        journal.show(ANN, "none")
    for wrong in (lambda: journal.retry(), lambda: journal.list(states=["no state"])):
        with pytest.raises(InvalidInputError):
            wrong()


def test_the_purge_says_what_it_deleted(persistence: SRSPersistenceService, site: Site) -> None:
    site.sql("DELETE FROM memora_srs_state WHERE name = 'purge'")
    assert persistence.purge(1) == {"journal": 0, "audit": 0, "review_log": 0}
