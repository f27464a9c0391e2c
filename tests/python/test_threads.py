"""Threads share one manager, and none holds up another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from forks import open_files, resident_kib
from memora_srs import ReviewService, UnavailableError
from stage import ANN, Site, Stage, students

THREADS = 16
GROWTH_KIB = 8 * 1024


def work_together(stage: Stage, seconds: float) -> None:
    """16 threads on one object read, and hand in answers, each for a student of its own."""
    names = [f"student{i}@example.com" for i in range(THREADS)]
    site = stage.site(students=students(*names))
    reviews = ReviewService(*site.args)

    def student(name: str, until: float) -> int:
        calls = 0
        while time.monotonic() < until:
            session = reviews.get_review_session(name)
            assert session["season"]
            if calls % 20 == 0 and session["questions"]:
                question = session["questions"][0]["question_id"]
                reviews.submit_review_session(name, [{"question_id": question, "quality": 1}])
            calls += 1
        return calls

    def round_of(seconds: float) -> list[int]:
        with ThreadPoolExecutor(THREADS) as pool:
            until = time.monotonic() + seconds
            return list(pool.map(student, names, [until] * THREADS))

    round_of(1)
    files, memory = open_files(), resident_kib()
    assert all(calls > 1 for calls in round_of(seconds))
    assert len(open_files()) <= len(files), open_files() - files
    assert resident_kib() - memory < GROWTH_KIB


def test_16_threads_share_one_object(stage: Stage) -> None:
    work_together(stage, 2)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_16_threads_share_one_object_for_a_minute(stage: Stage) -> None:
    work_together(stage, 60)


def test_a_call_that_waits_lets_other_threads_work(
    private: Site, freeze: Callable[[int], None]
) -> None:
    reviews = ReviewService(*private.args)
    reviews.get_review_session(ANN)
    freeze(private.mariadb_pid)
    refused = threading.Event()

    def wait() -> None:
        with pytest.raises(UnavailableError):
            reviews.get_reviews_safe_mode(ANN, "SEASON-2026", limit=1)
        refused.set()

    thread = threading.Thread(target=wait)
    thread.start()
    counted = 0
    while not refused.is_set():
        counted += 1
    thread.join()
    assert counted > 10_000, "this thread stood still while the other waited"
