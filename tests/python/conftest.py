"""Fixtures: private servers for the whole run, a site for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

import memora_srs
from stage import ANN, BOB, Site, Stage, stop, students


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Servers that all tests share."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def site(stage: Stage) -> Site:
    """A migrated site: season SEASON-2026, Ann with 20 questions, 5 of them due."""
    return stage.site(students=students(ANN))


@pytest.fixture(scope="session")
def private(stage: Stage) -> Site:
    """A site on servers of its own, which may be frozen. Ann's questions stay as they are.

    Bob is there to hand in answers.
    """
    return stage.site(own_servers=True, students=students(ANN, BOB))


@pytest.fixture
def freeze() -> Iterator[Callable[[int], None]]:
    """Freeze servers by process id until the test ends."""
    frozen: list[int] = []

    def freeze(pid: int) -> None:
        frozen.append(pid)
        stop(pid)

    yield freeze
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def reviews(site: Site) -> memora_srs.ReviewService:
    """The review service of `site`."""
    return memora_srs.ReviewService(*site.args)


@pytest.fixture
def schedules(site: Site) -> memora_srs.SRSRedisManager:
    """The schedules of `site`."""
    return memora_srs.SRSRedisManager(*site.args)


@pytest.fixture
def persistence(site: Site) -> memora_srs.SRSPersistenceService:
    """The persistence service of `site`."""
    return memora_srs.SRSPersistenceService(*site.args)
