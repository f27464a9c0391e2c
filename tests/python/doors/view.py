"""A bench's site, seen through servers of our own.

The site, its database and the bench's code are the real ones. Cache and queue are Redis
servers that the comparison starts, so that the bench's own workers take no job of it, and
nothing of it stays on their queue. For that the comparison has a ``sites`` folder of its
own, whose ``common_site_config.json`` names those servers, and whose site is a link.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

# Seconds for a server to answer, and for a command of Frappe.
PATIENCE = 120

# What systemd does: file 3 is the socket, and its owner's process id says for whom it is.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""

# As frappe_app/memora/tests/doors_stage.py has it.
BENCH_ID = "memora-doors"


class View:
    """The bench's site behind a folder of our own."""

    def __init__(self, bench: Path, site: str, folder: Path) -> None:
        """See ``open_view``."""
        self.bench = bench
        self.site = site
        self.folder = folder
        self.sites = folder / "sites"
        self.python = bench / "env/bin/python"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def lay_out(self) -> None:
        """Make the folder: as a bench, with links to what is the bench's."""
        real = self.bench / "sites"
        self.sites.mkdir()
        for name in ("logs", "config"):
            (self.folder / name).mkdir()
        for name in ("apps", "env"):
            (self.folder / name).symlink_to(self.bench / name)
        for name in ("apps.txt", "assets", self.site):
            (self.sites / name).symlink_to(real / name)
        self.configure()

    def configure(self, **more: Any) -> None:
        """Write ``common_site_config.json``: the bench's, our servers, and ``more``."""
        config = json.loads((self.bench / "sites/common_site_config.json").read_text())
        for key in ("workers", "redis_socketio", "srs_queue", "srs_redis_cache"):
            config.pop(key, None)
        config |= {"bench_id": BENCH_ID, "developer_mode": 0}
        config |= {f"redis_{name}": self.redis_url(name) for name in ("cache", "queue")}
        config["redis_socketio"] = config["redis_queue"]
        self.sites.joinpath("common_site_config.json").write_text(json.dumps({**config, **more}))

    def forget_outages(self) -> None:
        """Remove what was counted in Safe Mode: the site's folder is the real one's."""
        counters = self.bench / "sites" / self.site / "private/memora_srs/safe_mode.1"
        counters.unlink(missing_ok=True)

    def redis_url(self, name: str) -> str:
        """URL of one of our servers."""
        return f"unix://{self.folder / name}.sock"

    def database(self) -> tuple[str, int]:
        """Where the site's MariaDB listens."""
        config = json.loads((self.sites / "common_site_config.json").read_text())
        config |= json.loads((self.sites / self.site / "site_config.json").read_text())
        return config.get("db_host") or "127.0.0.1", int(config.get("db_port") or 3306)

    @property
    def environment(self) -> dict[str, str]:
        """Without what could point elsewhere; Frappe lets these win over files."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FRAPPE_", "SITES_PATH", "RQ_"))
        }

    def frappe(self, *args: str) -> str:
        """Run a command as ``bench`` does; what it printed."""
        command = [str(self.python), "-m", "frappe.utils.bench_helper", "frappe", *args]
        done = self._run(" ".join(args), command)
        return done.stdout + done.stderr

    def execute(self, function: str, **kwargs: Any) -> Any:
        """Call a function of the stage; what it returned."""
        done = self._run(function, self.execution(function, **kwargs))
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def _run(self, what: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder with the site; fails with what it said."""
        done = subprocess.run(
            command,
            cwd=self.sites,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{what} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def execution(self, function: str, **kwargs: Any) -> list[str]:
        """The command that calls a function of the stage."""
        command = [str(self.python), "-m", "frappe.utils.bench_helper", "frappe"]
        command += ["--site", self.site, "execute", f"memora.tests.doors_stage.{function}"]
        return [*command, "--kwargs", repr(kwargs)]

    @contextlib.contextmanager
    def journal_locked(self) -> Iterator[None]:
        """Nobody can write to the journal, nor read it, until the end of the block."""
        held = self.folder / "held"
        with self.running("lock", self.execution("hold_journal", held=str(held))):
            wait_until(held.exists, "the journal is locked")
            try:
                yield
            finally:
                held.unlink()

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process of ours answers nothing until the end of the block."""
        process = self.processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def running(
        self, name: str, command: list[str], files: tuple[int, ...] = (), **environment: str
    ) -> Iterator[None]:
        """A process in the ``sites`` folder, until the end of the block; it has ``files`` open."""
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                cwd=self.sites,
                env=self.environment | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=files,
            )
            self.processes[name] = process
            try:
                yield
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                if process.poll() is None:
                    process.kill()
                    process.wait()

    @contextlib.contextmanager
    def redis(self, name: str) -> Iterator[None]:
        """A private Redis, empty and not saved."""
        path = f"{self.folder / name}.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""]
        with self.running(f"redis-{name}", [*command, "--dir", str(self.folder)]):
            wait_until(lambda: answers_redis(path), f"redis {name} answers")
            yield

    @contextlib.contextmanager
    def gunicorn(self) -> Iterator[int]:
        """Frappe, as bench's supervisor starts it; its port."""
        port = free_port()
        command = [str(self.bench / "env/bin/gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "2"]
        command += ["--threads", "4", "--preload", "-t", "120", "frappe.app:application"]
        with self.running("gunicorn", command):
            wait_until(lambda: listens(port), "gunicorn listens")
            yield port

    @contextlib.contextmanager
    def sidecar(
        self,
        program: Path,
        *options: str,
        port: int = 0,
        name: str = "sidecar",
        handed: socket.socket | None = None,
        **environment: str,
    ) -> Iterator[int]:
        """The sidecar on the same folder; its port. ``handed``: a socket that it listens on."""
        command = [str(program), "serve", "--sites-path", str(self.sites), *options]
        files: tuple[int, ...] = ()
        if handed:
            files, port = (handed.fileno(),), handed.getsockname()[1]
            command = [sys.executable, "-c", HAND_OVER, str(handed.fileno()), *command]
        else:
            port = port or free_port()
            command += ["--bind", f"127.0.0.1:{port}"]
        with self.running(name, command, files, **environment):
            process = self.processes[name]
            wait_until(lambda: ended(process) or answers_health(port), "the sidecar answers")
            if ended(process):
                raise AssertionError(f"the sidecar ended with {process.returncode}")
            yield port

    def worker(self, queues: str) -> str:
        """Have Frappe's own worker take what is on these queues, and end; what it printed."""
        return self.frappe("worker", "--queue", queues, "--burst")

    def logs(self) -> str:
        """What our processes printed, without colours, for a report of a failure."""
        texts = [f"--- {p.name}\n{p.read_text()[-3000:]}" for p in self.folder.glob("*.log")]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(texts))


@contextlib.contextmanager
def open_view(bench: Path, site: str) -> Iterator[View]:
    """A folder and two Redis servers, until the end of the block."""
    if not shutil.which("redis-server"):
        raise SystemExit("there is no redis-server on this machine to start")
    with tempfile.TemporaryDirectory(prefix="memora-doors-") as folder:
        view = View(bench.resolve(), site, Path(folder))
        view.lay_out()
        with view.redis("cache"), view.redis("queue"):
            yield view


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended."""
    return process.poll() is not None


def answers_health(port: int) -> bool:
    """Whether a sidecar answers there."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def answers_redis(path: str) -> bool:
    """Whether a Redis answers on this socket."""
    with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
        s.connect(path)
        s.sendall(b"PING\r\n")
        return s.recv(16).startswith(b"+PONG")
    return False


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another process brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.1)
