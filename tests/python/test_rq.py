"""RQ's own worker, which forks for each job and limits its time by SIGALRM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import rq

from stage import ANN, SEASON, Site

HERE = Path(__file__).parent


@pytest.fixture
def queue(private: Site) -> rq.Queue:
    """The queue of a site on servers of its own."""
    return rq.Queue("default", connection=redis.Redis.from_url(private.queue_url))


def work_off(site: Site, *, warm: bool) -> None:
    """Run RQ's worker until the queue is empty."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    if warm:
        environment["WARM"] = f"{site.name}|{site.sites_path}|{ANN}"
    done = subprocess.run(
        [sys.executable, "-c", WORKER, site.queue_url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# As `rq worker --burst`, in a process that imports the jobs before it forks, as Frappe does.
WORKER = """
import sys, redis, rq, jobs
connection = redis.Redis.from_url(sys.argv[1])
rq.Worker(["default"], connection=connection).work(burst=True)
"""


@pytest.mark.parametrize("warm", [False, True], ids=["fresh worker", "worker that used it"])
def test_each_job_has_an_engine_of_its_own(private: Site, queue: rq.Queue, warm: bool) -> None:
    arguments = (private.name, str(private.sites_path), ANN)
    jobs = [queue.enqueue("jobs.read", *arguments) for _ in range(5)]
    work_off(private, warm=warm)
    processes = set()
    for job in jobs:
        answer = job.return_value()
        assert answer, job.get_status(refresh=True)
        assert answer[1] == 5
        processes.add(answer[0])
    assert len(processes) == 5, "not each job was forked"


def test_a_jobs_time_limit_interrupts_a_call(
    private: Site, queue: rq.Queue, freeze: Callable[[int], None]
) -> None:
    arguments = (private.name, str(private.sites_path), ANN, SEASON)
    freeze(private.mariadb_pid)
    job = queue.enqueue("jobs.read_from_table", *arguments, job_timeout=1)
    began = time.monotonic()
    work_off(private, warm=False)
    assert time.monotonic() - began < 15
    assert job.get_status(refresh=True) == "failed"
    result = job.latest_result()
    assert result
    assert "JobTimeoutException" in (result.exc_string or "")
