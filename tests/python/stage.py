"""Sites on private servers: `memora-stage`, the harness's program, as Python objects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pymysql
import redis

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "target/debug/memora-stage"
SEASON = "SEASON-2026"
ANN = "ann@example.com"
BOB = "bob@example.com"
TRACKER = "`tabPlayer Memory Tracker`"


# Seconds after which what is waited for will not come.
PATIENCE = 60


def until(what: str, happened: Callable[[], object]) -> None:
    """Wait until something has happened."""
    late = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < late, f"not so: {what}"
        time.sleep(0.01)


def stop(pid: int) -> None:
    """Stop a process where it is, with all its threads: each hears of it when it next runs."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")

    def is_stopped(stat: Path) -> bool:
        try:
            # The state comes behind the name, which may hold anything.
            return stat.read_text().rpartition(")")[2].split()[0] == "T"
        except (FileNotFoundError, ProcessLookupError):
            return True  # A thread that has ended meanwhile.

    until("all threads are stopped", lambda: all(map(is_stopped, threads.glob("*/stat"))))


@dataclass(frozen=True)
class Site:
    """Where a site is, and hands on its servers that go past the module."""

    name: str
    sites_path: Path
    zone: str
    db_port: int
    db_name: str
    cache_url: str
    queue_url: str
    bench_id: str
    mariadb_pid: int
    cache_pid: int
    queue_pid: int
    # The `Authorization` header of each student.
    tokens: dict[str, str]

    @property
    def args(self) -> tuple[str, Path]:
        """What every class of the module takes."""
        return self.name, self.sites_path

    def config(self) -> dict[str, Any]:
        """Read `site_config.json`."""
        config: dict[str, Any] = json.loads(self._config_file.read_text())
        return config

    def set_config(self, **keys: Any) -> None:
        """Set keys of `site_config.json`."""
        self._config_file.write_text(json.dumps(self.config() | keys))

    @property
    def _config_file(self) -> Path:
        return self.sites_path / self.name / "site_config.json"

    @cached_property
    def redis(self) -> redis.Redis:
        """Redis with the schedules."""
        return redis.Redis.from_url(self.cache_url, decode_responses=True)

    def sql(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own."""
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.db_port,
            user=self.db_name,
            password=self.config()["db_password"],
            database=self.db_name,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, args)
            return list(cursor.fetchall())

    def row(self, question: str, column: str, user: str = ANN) -> Any:
        """One value of a question's row; None if there is no row."""
        rows = self.sql(
            f"SELECT {column} FROM {TRACKER} WHERE player = %s AND season = %s"  # noqa: S608
            " AND question_id = %s",
            user,
            SEASON,
            question,
        )
        return rows[0][0] if rows else None


class Stage:
    """The program, which keeps servers and sites until it is closed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def site(self, **wanted: Any) -> Site:
        """Make a site; `tests/programs/stage.rs` has the members of `wanted`."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "memora-stage has ended"
        made = json.loads(line)
        return Site(
            name=made["site"],
            sites_path=Path(made["sites_path"]),
            zone=made["zone"],
            db_port=made["db"]["port"],
            db_name=made["db"]["name"],
            cache_url=made["cache"]["url"],
            queue_url=made["queue"]["url"],
            bench_id=made["bench_id"],
            mariadb_pid=made["db"]["pid"],
            cache_pid=made["cache"]["pid"],
            queue_pid=made["queue"]["pid"],
            tokens=made["tokens"],
        )

    def close(self) -> None:
        """End the servers."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.stdout
        self.process.stdout.close()
        self.process.wait(timeout=30)


def students(*names: str, questions: int = 20, due: int = 5) -> list[dict[str, Any]]:
    """Describe students who have the same questions."""
    return [{"name": name, "questions": questions, "due": due} for name in names]
