"""Each call from Python beside redis-py doing the same command, in one run, interleaved.

    make bench-python

A read is beside the bare command that it answers from. A write is one script, which keeps
more than the due time; beside it is redis-py sending that very script with those arguments
(taken from MONITOR), and, without a target, the bare command that leaves all else out.

Both talk to one private Redis over loopback and each has one connection; redis-py parses
with hiredis, as in Frappe, or with its own parser (ARGS="--parser python"). Ours and theirs
are made in turn, so that whatever else the machine does meets both, and each is the first
by turns; 50 times a pair, then the next pair, round after round. Medians, and their ratio.

`persist_review_batch` is beside what a job of the implementation before this one does, row by row
(`benches/peers/peer.py`), on the same rows of one private MariaDB. Ours does more: journal, audit,
review log, and the states in the cache.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.connection import HiredisParser, PythonParser

from memora_srs import ReviewService, SRSPersistenceService, SRSRedisManager

STAGE = Path(__file__).parents[2] / "target/debug/memora-stage"
USER, SEASON = "ann@example.com", "SEASON-2026"
QUESTIONS, DUE, BATCH = 1000, 300, 100
BLOCK = 50
# Blocks of what takes milliseconds.
SLOW_BLOCKS = 4
ANSWERS = 20
PEERS = Path(__file__).parents[1] / "peers"
# A word in a line of MONITOR.
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
PARSERS = {"hiredis": HiredisParser, "python": PythonParser}


@dataclass
class Pair:
    """One call, ours and redis-py's."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    target: float | None
    slow: bool = False
    ours_ns: list[int] = field(default_factory=list)
    theirs_ns: list[int] = field(default_factory=list)

    def time_both(self, number: int) -> None:
        """Make both calls once, in the order of an even or an odd round."""
        if number % 2:
            self.ours_ns.append(timed(self.ours))
        self.theirs_ns.append(timed(self.theirs))
        if not number % 2:
            self.ours_ns.append(timed(self.ours))

    def line(self) -> str:
        """Both medians in microseconds, their ratio and what it should be."""
        ours, theirs = statistics.median(self.ours_ns), statistics.median(self.theirs_ns)
        target = "" if self.target is None else f"{self.target:.1f}"
        return row(
            self.name, f"{ours / 1e3:.1f}", f"{theirs / 1e3:.1f}", f"{ours / theirs:.2f}", target
        )


def sent_by(call: Callable[[], object], url: str) -> list[bytes]:
    """The script call that a call sends, word by word, from what the server says it got."""
    call()
    with redis.Redis.from_url(url).monitor() as monitor:
        call()
        while True:
            line = monitor.connection.read_response()
            words = [unescaped(word) for word in WORD.findall(line)]
            if b" lua]" not in line and words and words[0].upper() == b"EVALSHA":
                return words


def unescaped(word: bytes) -> bytes:
    """A word of MONITOR as it was sent."""
    return word.decode("unicode_escape").encode("latin-1")


def row(name: str, *columns: str) -> str:
    """One line of the table."""
    return f"{name:48}" + "".join(f"{column:>10}" for column in columns)


def timed(call: Callable[[], object]) -> int:
    """Nanoseconds that a call takes."""
    began = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - began


def pairs(site: str, sites_path: str, parser: type) -> list[Pair]:
    """Everything that is measured, with a schedule that is cached."""
    manager = SRSRedisManager(site, sites_path)
    client = redis.Redis.from_url(manager.redis_url(), decode_responses=True, parser_class=parser)
    manager.get_due_items_with_rehydration(USER, SEASON)
    assert manager.count_due_items(USER, SEASON) == DUE
    return [
        Pair("is_available / PING", manager.is_available, client.ping, 1.1),
        *reads(manager, client, ReviewService(site, sites_path)),
        *writes(manager, client),
        persist(site, sites_path, manager.redis_url()),
        Pair("_make_key / f-string", lambda: manager._make_key(USER, SEASON), key, None),
    ]


def key() -> str:
    """The schedule's key."""
    return f"srs:{USER}:{SEASON}"


def reads(manager: SRSRedisManager, client: redis.Redis, reviews: ReviewService) -> list[Pair]:
    """Reads, beside the command that brings what they answer."""

    def due() -> object:
        return client.zrangebyscore(key(), "-inf", time.time(), start=0, num=20)

    return [
        Pair(
            "get_due_items(limit=20) / ZRANGEBYSCORE",
            lambda: manager.get_due_items(USER, SEASON, 20),
            due,
            1.1,
        ),
        Pair(
            "count_due_items / ZCOUNT",
            lambda: manager.count_due_items(USER, SEASON),
            lambda: client.zcount(key(), "-inf", time.time()),
            1.1,
        ),
        Pair(
            f"get_all_scores ({QUESTIONS}) / ZRANGE WITHSCORES",
            lambda: manager.get_all_scores(USER, SEASON),
            lambda: dict(client.zrange(key(), 0, -1, withscores=True)),
            1.1,
        ),
        Pair(
            "get_review_session(20) / ZRANGEBYSCORE",
            lambda: reviews.get_review_session(USER),
            due,
            None,
        ),
    ]


def writes(manager: SRSRedisManager, client: redis.Redis) -> list[Pair]:
    """Writes, beside their script and beside the bare command."""
    later = int(time.time() + 1e6)
    items = {f"STAGE-{i // 10:03}:{i % 10}": float(later + i) for i in range(900, 900 + BATCH)}
    one = next(iter(items))

    def each() -> None:
        for question, score in items.items():
            client.zadd(key(), {question: score})

    def pipelined() -> None:
        with client.pipeline(transaction=False) as pipe:
            for question, score in items.items():
                pipe.zadd(key(), {question: score})
            pipe.execute()

    def script(call: Callable[[], object]) -> Callable[[], object]:
        command = sent_by(call, manager.redis_url())
        return lambda: client.execute_command(*command)

    def add() -> object:
        return manager.add_item(USER, SEASON, one, items[one])

    def remove() -> object:
        return manager.remove_item(USER, SEASON, "none")

    def batch() -> object:
        return manager.add_batch(USER, SEASON, items)

    return [
        Pair("add_item / its script", add, script(add), 1.1),
        Pair("add_item / ZADD", add, lambda: client.zadd(key(), {one: items[one]}), None),
        Pair("remove_item (not there) / its script", remove, script(remove), 1.1),
        Pair("remove_item (not there) / ZREM", remove, lambda: client.zrem(key(), "none"), None),
        Pair(f"add_batch({BATCH}) / {BATCH} ZADD", batch, each, 0.5),
        Pair(f"add_batch({BATCH}) / its script", batch, script(batch), 1.1),
        Pair(f"add_batch({BATCH}) / pipeline of {BATCH} ZADD", batch, pipelined, None),
        Pair(
            f"add_batch({BATCH}) / one ZADD of {BATCH}",
            batch,
            lambda: client.zadd(key(), items),
            None,
        ),
    ]


def persist(site: str, sites_path: str, redis_url: str) -> Pair:
    """A batch of answers for the table, beside the loop of the former implementation."""
    service = SRSPersistenceService(site, sites_path)
    config = json.loads((Path(sites_path) / "common_site_config.json").read_text())
    config |= json.loads((Path(sites_path) / site / "site_config.json").read_text())
    account = {
        "host": config.get("db_host", "127.0.0.1"),
        "port": int(config["db_port"]),
        "user": config["db_name"],
        "password": config["db_password"],
        "database": config["db_name"],
    }
    os.environ |= {
        "PEER_DB": json.dumps(account),
        "PEER_CACHE": redis_url,
        "PEER_QUEUE": redis_url,
        "PEER_SEASON": SEASON,
    }
    sys.path.insert(0, str(PEERS))
    peer = importlib.import_module("peer")
    due = "2030-01-01T10:00:00"
    answers = [
        {
            "question_id": f"STAGE-{n // 10:03}:{n % 10}",
            "quality": 4,
            "new_stability": 2.5,
            "new_next_review_date": due,
        }
        for n in range(800, 800 + ANSWERS)
    ]
    return Pair(
        f"persist_review_batch({ANSWERS}) / row by row",
        lambda: service.persist_review_batch(answers, USER, SEASON),
        lambda: peer.persist_review_batch(answers, USER),
        None,
        slow=True,
    )


def main() -> None:
    """Start private servers, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--parser", choices=PARSERS, default="hiredis")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    wanted = {"students": [{"name": USER, "questions": QUESTIONS, "due": DUE}]}
    with subprocess.Popen(
        [STAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stage:
        assert stage.stdin
        assert stage.stdout
        print(json.dumps(wanted), file=stage.stdin, flush=True)
        made = json.loads(stage.stdout.readline())
        measured = pairs(made["site"], made["sites_path"], PARSERS[arguments.parser])
        for block in range(max(rounds // BLOCK, 1)):
            for pair in (p for p in measured if block < SLOW_BLOCKS or not p.slow):
                # The first finds what the pair before has left in the caches.
                pair.ours()
                pair.theirs()
                for number in range(BLOCK):
                    pair.time_both(number)
        stage.stdin.close()
    print(row(f"median of {rounds}, µs", "memora", "redis-py", "ratio", "target"))
    for pair in measured:
        print(pair.line())
    missed = [
        p.name
        for p in measured
        if p.target and statistics.median(p.ours_ns) > p.target * statistics.median(p.theirs_ns)
    ]
    if missed:
        sys.exit("over the target: " + ", ".join(missed))


if __name__ == "__main__":
    main()
