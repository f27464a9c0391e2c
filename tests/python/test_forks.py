"""Real forks: before the engine is used, after it, nested, many; parent and child both work."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from forks import in_child, open_files, resident_kib
from memora_srs import ReviewService
from stage import ANN, SEASON, Site

FORKS_GROWTH_KIB = 8 * 1024


@pytest.fixture
def read(reviews: ReviewService) -> Callable[[], int]:
    """Ask the engine: how many questions are due."""

    def read() -> int:
        from_cache = reviews.get_review_session(ANN)["total_due"]
        from_table = reviews.get_reviews_safe_mode(ANN, SEASON)["total_due"]
        assert from_cache == from_table
        return from_cache

    return read


def test_a_child_forked_after_use_has_an_engine_of_its_own(
    read: Callable[[], int], site: Site
) -> None:
    assert read() == 5
    connections = {c["id"] for c in site.redis.client_list()}

    def child() -> tuple[int, set[str]]:
        due = read()
        return due, {c["id"] for c in site.redis.client_list()} - connections

    due, new = in_child(child)
    assert due == 5
    assert new, "the child asked through its parent's connection"
    assert read() == 5


def test_a_child_forked_before_use_works_as_its_parent_does(site: Site) -> None:
    def child() -> int:
        return ReviewService(*site.args).get_review_session(ANN)["total_due"]

    # The process of pytest has used the engine: one that has not is a child of a fresh one.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(forks_before_use, (site.args,)) == (5, 5)
    assert in_child(child) == 5


def forks_before_use(args: tuple[str, os.PathLike[str]]) -> tuple[int, int]:
    """Fork without an engine; child and parent then make theirs."""
    reviews = ReviewService(*args)

    def read() -> int:
        return reviews.get_review_session(ANN)["total_due"]

    return in_child(read), read()


def test_forks_nest(read: Callable[[], int]) -> None:
    read()

    def child() -> list[int]:
        before = read()
        return [before, *in_child(lambda: [read(), in_child(read), read()]), read()]

    assert in_child(child) == [5, 5, 5, 5, 5]
    assert read() == 5


def test_multiprocessing_forks_a_pool(read: Callable[[], int], site: Site) -> None:
    read()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(read_in_pool, [site.args] * 20) == [5] * 20
    assert read() == 5


def read_in_pool(args: tuple[str, os.PathLike[str]]) -> int:
    """One read, in a process of a pool."""
    return ReviewService(*args).get_review_session(ANN)["total_due"]


@pytest.mark.timeout(300)
def test_a_child_forked_while_other_threads_ask_works(read: Callable[[], int]) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            while not stop.is_set():
                read()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        # Often enough to catch the threads in the middle of everything.
        for _ in range(60):
            assert in_child(read) == 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors


def fork_often(read: Callable[[], int], times: int) -> None:
    # All connections that the parent may have, before they are counted.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read(), range(100)))
    for _ in range(10):
        in_child(read)
    files, memory = open_files(), resident_kib()
    for i in range(times):
        assert in_child(read) == 5
        if i % 10 == 0:
            assert read() == 5
    assert len(open_files()) <= len(files), open_files() - files
    assert resident_kib() - memory < FORKS_GROWTH_KIB


def test_50_forks_leave_nothing_behind(read: Callable[[], int]) -> None:
    fork_often(read, 50)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_1000_forks_leave_nothing_behind(read: Callable[[], int]) -> None:
    fork_often(read, 1000)
