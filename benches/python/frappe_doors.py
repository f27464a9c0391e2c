"""The review endpoints on a real bench: Frappe's gunicorn beside the sidecar, and Frappe's ping.

    make bench-frappe BENCH=<folder of a bench> [SITE=<site>]

All are asked in turn, a few seconds each, round after round, by clients of a number that each
send their next request when they have their answer; medians of the rounds, and their ratios.
``ping`` is what any request costs in Frappe, logged in by the same cookie. gunicorn has two
processes of four threads. Servers, clients and doors share the machine: no client parses an
answer. The site needs what ``tests/python/compare_doors.py`` needs, and is left as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/python"))

from bench_site import Doors, log_in
from doors.view import View, open_view
from frappe_tests import default_site

PING = "/api/method/frappe.ping"
READ = "/api/method/memora.api.reviews.get_review_session?limit=20"
SUBMIT = "/api/method/memora.api.reviews.submit_review_session"
ANSWERS = 20


@dataclass
class Target:
    """One request to one door."""

    name: str
    port: int
    requests: Callable[[], Iterator[bytes]]
    processes: tuple[str, ...]
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def request(view: View, cookie: str, method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request whose connection is kept."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {view.site}\r\nX-Frappe-Site-Name: {view.site}\r\n"
    head += f"Cookie: {cookie}\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


class Client:
    """A connection that is made anew if the server closes it, as gunicorn's threads may."""

    def __init__(self, port: int) -> None:
        """Take where to connect."""
        self.port = port
        self.socket: socket.socket | None = None

    def ask(self, sent: bytes) -> None:
        """Send and take the answer whole; anything but 200 is an error."""
        for fresh in (self.socket is None, True):
            if fresh:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 60)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert self.socket
            try:
                self.socket.sendall(sent)
                answer = self.answer(self.socket)
            except ConnectionError:
                if fresh:
                    raise
                continue
            if b" 200 " not in answer[:16]:
                raise RuntimeError(answer[:2000].decode(errors="replace"))
            return

    def answer(self, connection: socket.socket) -> bytes:
        """The head; the body is read and let go."""
        read = b""
        while b"\r\n\r\n" not in read:
            more = connection.recv(65536)
            if not more:
                raise ConnectionResetError
            read += more
        head, _, body = read.partition(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        left = int(fields[b"content-length"]) - len(body)
        while left > 0:
            left -= len(connection.recv(left))
        if fields.get(b"connection", b"").strip() == b"close":
            connection.close()
            self.socket = None
        return head


def drive(target: Target, clients: int, seconds: float) -> None:
    """One round: the rate, each answer's time, and the processor's."""
    latencies: list[float] = []
    failures: list[BaseException] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        client, requests = Client(target.port), target.requests()
        try:
            while (began := time.perf_counter()) < end:
                client.ask(next(requests))
                latencies.append(time.perf_counter() - began)
        except BaseException as failure:
            failures.append(failure)

    before, began = cpu_seconds(target.processes), time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    target.rates.append(len(latencies) / took)
    target.latencies += latencies
    target.cpu.append((cpu_seconds(target.processes) - before) / len(latencies))


def cpu_seconds(commands: tuple[str, ...]) -> float:
    """Processor seconds so far of all processes below us whose command has one of these words."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if any(word in command for word in commands) and "memora-doors-" in environment(folder):
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def environment(folder: Path) -> str:
    """Where a process works: ours work in the comparison's folder."""
    try:
        return str((folder / "cwd").readlink())
    except OSError:
        return ""


def submits(view: View, cookie: str) -> Iterator[bytes]:
    """Submits of questions that the student has."""
    ids = [f"Stage {number % 4}:Frage-ä-{number}" for number in range(1, ANSWERS + 1)]
    responses = [{"question_id": name, "quality": 4, "response_time_ms": 4000} for name in ids]
    body = json.dumps({"responses": responses}).encode()
    while True:
        yield request(view, cookie, "POST", SUBMIT, body)


def measure(view: View, program: Path, args: argparse.Namespace) -> None:
    """All rounds, and the table."""
    stage = view.execute("prepare")
    try:
        with view.gunicorn() as frappe, view.sidecar(program) as sidecar:
            logins = log_in(Doors(view.site, stage["frappe"], frappe, sidecar), view, stage)
            cookie = logins.session[1]

            def same(path: str) -> Callable[[], Iterator[bytes]]:
                sent = request(view, cookie, "GET", path)
                return lambda: iter(lambda: sent, b"")

            def submit() -> Iterator[bytes]:
                return submits(view, cookie)

            gunicorn, ours = ("gunicorn",), ("memora-srs",)
            targets = [
                Target("frappe.ping", frappe, same(PING), gunicorn),
                Target("get_review_session, gunicorn", frappe, same(READ), gunicorn),
                Target("get_review_session, sidecar", sidecar, same(READ), ours),
                Target("submit of 20, gunicorn", frappe, submit, gunicorn),
                Target("submit of 20, sidecar", sidecar, submit, ours),
            ]
            # Imports, logins, connections.
            for target in targets:
                drive(target, args.clients, 1)
                target.rates, target.latencies, target.cpu = [], [], []
            for _ in range(args.rounds):
                for target in targets:
                    drive(target, args.clients, args.seconds)
    finally:
        view.configure()
        view.forget_outages()
        view.execute("clean", before=stage["before"])
    print(f"{args.clients} clients, {args.rounds} rounds of {args.seconds} s each")
    print("| | req/s | of ping | P50, ms | P99, ms | its processor, ms a request |")
    print("|---|---:|---:|---:|---:|---:|")
    ping = targets[0]
    for target in targets:
        of_ping = statistics.median(
            ours / theirs for ours, theirs in zip(target.rates, ping.rates, strict=True)
        )
        ms = sorted(latency * 1e3 for latency in target.latencies)
        print(
            f"| {target.name} | {statistics.median(target.rates):,.0f} | {of_ping:.2f} "
            f"| {ms[len(ms) // 2]:.2f} | {ms[len(ms) * 99 // 100]:.2f} "
            f"| {statistics.median(target.cpu) * 1e3:.2f} |"
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench", type=Path)
    parser.add_argument("--site", default="", help="default: the bench's default_site")
    parser.add_argument("--program", type=Path, required=True, help="the sidecar, memora-srs")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    site = args.site or default_site(args.bench)
    if not site:
        parser.error("the bench has no default_site: name a site")
    with open_view(args.bench, site) as view:
        measure(view, args.program.resolve(), args)


if __name__ == "__main__":
    main()
