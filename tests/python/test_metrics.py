"""How a site is, as a Python process tells it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import memora_srs
from memora_srs import Metrics, NotFoundError
from stage import ANN, Site, Stage, students


def test_text_and_snapshot_say_the_same(site: Site, reviews: memora_srs.ReviewService) -> None:
    answer = [{"question_id": "q-1", "quality": 4}]
    reviews.submit_review_session(ANN, answer, "metrics-1")
    metrics = Metrics(*site.args)
    [now] = metrics.snapshot()["sites"]
    assert now["site"] == site.name
    assert now["backlog"] is not None
    assert now["backlog"]["pending"] == 1
    text = metrics.text()
    assert text.endswith("# EOF\n")
    for line in (
        f'memora_srs_journal_pending_rows{{site="{site.name}"}} 1',
        f'memora_srs_safe_mode_active{{site="{site.name}"}} 0',
        f'memora_srs_mariadb_connections_max{{site="{site.name}"}} 2',
    ):
        assert line in text.splitlines()
    assert (now["safe_mode"], now["mariadb"]["max"]) == (False, 2)
    assert ANN not in text
    # This process answers nobody over HTTP, and applies what it is asked to.
    assert metrics.snapshot()["operations"] == []
    persistence = memora_srs.SRSPersistenceService(*site.args)
    applied = f'memora_srs_persistence_latency_seconds_count{{site="{site.name}"}} '
    assert applied + "0" in text
    site.sql("UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 HOUR")
    assert persistence.sweep() == 1
    assert applied + "1" in metrics.text()
    assert metrics.snapshot()["sites"][0]["persistence"]["count"] == 1


def test_a_server_that_is_away_is_a_gap_and_a_problem(
    stage: Stage, freeze: Callable[[int], None]
) -> None:
    site = stage.site(own_servers=True, students=students(ANN))
    metrics = Metrics(*site.args)
    assert metrics.readiness() == {"ready": True, "problems": []}
    freeze(site.mariadb_pid)
    [now] = metrics.snapshot()["sites"]
    assert (now["mariadb_answers"], now["backlog"], now["work"]) == (False, None, None)
    assert f'memora_srs_unreachable{{site="{site.name}",server="mariadb"}} 1' in metrics.text()
    readiness = metrics.readiness()
    assert readiness["ready"] is False
    [problem] = readiness["problems"]
    assert (problem["problem"], problem["blocking"]) == ("mariadb_away", True)
    assert problem["remedy"]


def test_a_site_that_is_not_there(site: Site) -> None:
    nowhere = Metrics("nowhere.test", site.sites_path)
    for ask in (nowhere.text, nowhere.snapshot, nowhere.readiness):
        with pytest.raises(NotFoundError, match=r"nowhere\.test"):
            ask()


def test_a_fork_counts_anew_what_it_does(site: Site) -> None:
    metrics = Metrics(*site.args)
    assert metrics.snapshot()["panics"] == 0
    child = os.fork()
    if child == 0:
        good = metrics.snapshot()["sites"][0]["mariadb_answers"]
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
