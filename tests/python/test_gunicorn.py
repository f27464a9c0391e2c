"""gunicorn as bench starts it: `--preload`, several workers and threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stage import ANN, Site

HERE = Path(__file__).parent
WORKERS = 2


@pytest.fixture
def address(site: Site, tmp_path: Path) -> Iterator[str]:
    """Where gunicorn listens."""
    log = tmp_path / "gunicorn.log"
    environment = {"SITE": site.name, "SITES_PATH": str(site.sites_path), "STUDENT": ANN}
    arguments = ["--bind=127.0.0.1:0", "--preload", f"--workers={WORKERS}", "--threads=4"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments, "wsgi_app:application"],
            cwd=HERE,
            env=os.environ | environment,
            stderr=output,
            stdout=output,
        )
    try:
        yield listening(process, log)
        assert "Traceback" not in log.read_text()
        assert "TIMEOUT" not in log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


def listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for gunicorn to say where it listens."""
    while process.poll() is None:
        if said := re.search(r"Listening at: (http://\S+)", log.read_text()):
            return said[1]
    raise AssertionError(log.read_text())


def test_all_workers_answer_after_the_master_has_used_the_engine(address: str) -> None:
    def ask(_: int) -> tuple[str, str]:
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310
            pid, due = answer.read().decode().split()
            return pid, due

    processes = set()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            for pid, due in pool.map(ask, range(40)):
                processes.add(pid)
                assert due == "5"
            if len(processes) == WORKERS:
                break
    assert len(processes) == WORKERS, "the kernel gave all requests to one worker"
