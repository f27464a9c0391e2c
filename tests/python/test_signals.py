"""Ctrl-C and RQ's time limits interrupt a call that waits for a server."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from forks import in_child
from memora_srs import ReviewService, SRSRedisManager, UnavailableError
from stage import ANN, SEASON, Site

DELAY = 0.2


class TimeLimitError(Exception):
    """As RQ's JobTimeoutException."""


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGALRM raises in the main thread, as RQ has it."""

    def limit(*_signal: object) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, limit)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT raises, also where it is ignored because the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stuck(private: Site, freeze: Callable[[int], None]) -> ReviewService:
    """A service whose MariaDB has stopped answering. Ann's schedule is cached."""
    SRSRedisManager(*private.args).get_due_items_with_rehydration(ANN, SEASON)
    reviews = ReviewService(*private.args)
    reviews.get_review_session(ANN)
    freeze(private.mariadb_pid)
    return reviews


def test_sigalrm_interrupts(stuck: ReviewService, alarm: None) -> None:
    signal.setitimer(signal.ITIMER_REAL, DELAY)
    began = time.monotonic()
    with pytest.raises(TimeLimitError):
        stuck.get_reviews_safe_mode(ANN, SEASON)
    assert DELAY <= time.monotonic() - began < 1.5


def test_sigint_interrupts(stuck: ReviewService, interrupts: None) -> None:
    threading.Timer(DELAY, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        stuck.get_reviews_safe_mode(ANN, SEASON)


def test_an_interrupted_call_leaves_the_engine_in_order(
    private: Site, stuck: ReviewService, alarm: None
) -> None:
    interrupted = 0
    for _ in range(5):
        signal.setitimer(signal.ITIMER_REAL, DELAY)
        try:
            stuck.get_reviews_safe_mode(ANN, SEASON)
        except TimeLimitError:
            interrupted += 1
        except UnavailableError:
            # A look-up that an interrupted call began was given up meanwhile.
            signal.setitimer(signal.ITIMER_REAL, 0)
    assert interrupted
    os.kill(private.mariadb_pid, signal.SIGCONT)
    assert stuck.get_reviews_safe_mode(ANN, SEASON)["total_due"] == 5
    assert in_child(lambda: stuck.get_reviews_safe_mode(ANN, SEASON))["total_due"] == 5


def test_a_handler_may_use_the_engine_and_fork(
    private: Site, stuck: ReviewService, alarm: None
) -> None:
    seen: list[int] = []

    def handler(*_signal: object) -> None:
        os.kill(private.mariadb_pid, signal.SIGCONT)
        seen.append(in_child(lambda: stuck.get_review_session(ANN)["total_due"]))
        seen.append(stuck.get_review_session(ANN)["total_due"])

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, DELAY)
    assert stuck.get_reviews_safe_mode(ANN, SEASON)["total_due"] == 5
    assert seen == [5, 5]


def test_a_handler_that_forks_in_the_middle_of_a_call_ends_the_childs_call(
    private: Site, stuck: ReviewService
) -> None:
    read, write = os.pipe()

    def handler(*_signal: object) -> None:
        if os.fork() == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            children.append(os.getpid())

    children: list[int] = []
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, DELAY)
    threading.Timer(3 * DELAY, os.kill, (private.mariadb_pid, signal.SIGCONT)).start()
    try:
        session = stuck.get_reviews_safe_mode(ANN, SEASON)
    except BaseException as error:
        if children:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        raise
    finally:
        if children:
            os._exit(0)
        signal.signal(signal.SIGALRM, before)
    assert session["total_due"] == 5
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"InternalError: The process forked meanwhile"
    os.wait()


def test_a_signal_that_comes_while_a_line_is_logged_is_not_lost(
    private: Site, freeze: Callable[[int], None], interrupts: None
) -> None:
    class Interrupting(logging.Handler):
        """Logs a line at the moment at which Ctrl-C comes."""

        def emit(self, record: logging.LogRecord) -> None:
            signal.raise_signal(signal.SIGINT)

    freeze(private.mariadb_pid)
    log, handler = logging.getLogger("memora_srs"), Interrupting()
    log.addHandler(handler)
    try:
        # Fails, and says so in the log.
        with pytest.raises(KeyboardInterrupt):
            ReviewService(*private.args).get_reviews_safe_mode(ANN, SEASON)
    finally:
        log.removeHandler(handler)
