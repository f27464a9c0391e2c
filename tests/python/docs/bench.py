"""A private bench with one site, `school.example.com`, in which a page's commands are run."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from stage import ANN, ROOT, Site, until

PROGRAM = ROOT / "target/debug/memora-srs-failpoints"
STAND_IN = Path(__file__).parent / "bench_stand_in"
NAME = "school.example.com"
# Where the pages have their bench.
HOME = "/home/frappe/frappe-bench"
PATIENCE = 50
# What our programs write to standard error; the pages leave it out.
LOG_LINE = re.compile(r"(?m)^\d{4}-\d\d-\d\dT\S+Z +(TRACE|DEBUG|INFO|WARN|ERROR) .*\n")


class Redis:
    """A Redis that can be stopped, and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        """Its address, as the bench's configuration has it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )
        until("Redis answers", self._answers)

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port) as connection:
                return bool(connection.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        """End it, with what it holds."""
        self.process.kill()
        self.process.wait()


class Bench:
    """The folder, its servers, and the programs that are on the path there."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.cache, self.queue = Redis(folder / "cache"), Redis(folder / "queue")
        # Programs that go on until the end, and where they listen: as documented, and really.
        self.running: list[subprocess.Popen[str]] = []
        self.addresses: dict[str, str] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        sites, made = self.folder / "sites", self.site.sites_path
        sites.mkdir()
        common = json.loads((made / "common_site_config.json").read_text())
        common |= {
            "bench_id": "home-frappe-frappe-bench",
            "default_site": NAME,
            "redis_cache": self.cache.url,
            "redis_queue": self.queue.url,
        }
        (sites / "common_site_config.json").write_text(json.dumps(common))
        shutil.copy(made / "apps.txt", sites)
        (sites / NAME).mkdir()
        shutil.copy(made / self.site.name / "site_config.json", sites / NAME)
        shutil.copytree(made.parent / "apps", self.folder / "apps")
        for name in ("config", "logs"):
            (self.folder / name).mkdir()
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "memora-srs").symlink_to(PROGRAM)
        bench = programs / "bench"
        bench.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}/bench.py" "$@"\n')
        bench.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What the pages take for granted."""
        path = [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        return os.environ | {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join([str(STAND_IN), str(ROOT / "frappe_app")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SITE": NAME,
            "SITES_PATH": str(self.folder / "sites"),
            "TOKEN": self.site.tokens.get(ANN, ""),
            "URL": self.addresses.get("127.0.0.1:8765", ""),
            "LANG": "C.UTF-8",
        }

    def here(self, text: str) -> str:
        """A page's text with this bench's folder and addresses."""
        for documented, real in self.addresses.items():
            text = text.replace(documented, real)
        return text.replace(HOME, str(self.folder))

    def there(self, text: str) -> str:
        """What was printed, as a page says it."""
        for documented, real in self.addresses.items():
            text = text.replace(real, documented)
        text = text.replace(str(self.folder), HOME).replace(str(ROOT), "<this repository>")
        return LOG_LINE.sub("", text)

    def shell(self, commands: list[str]) -> list[tuple[int, str]]:
        """Run commands one after another in one shell: exit code and output of each.

        Variables live on in the page's next block.
        """
        script = ["set -a", "if [ -f bin/variables ]; then . bin/variables; fi"]
        for number, command in enumerate(commands):
            script.append(f"{{ {self.here(command)}\n}} >bin/{number}.out 2>&1 </dev/null")
            script.append(f"echo $? >bin/{number}.code")
        # What the environment gives is given anew each time.
        given = "|".join(filter(str.isidentifier, self.environment))
        keep = f"grep -Ev '^declare -x ({given}|PWD|OLDPWD)='"
        script.append(f"export -p | {keep} >bin/variables || true")
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        results = []
        for number in range(len(commands)):
            code, out = (self.folder / "bin" / f"{number}.{of}" for of in ("code", "out"))
            results.append((int(code.read_text()), self.there(out.read_text())))
            code.unlink()
        return results

    def python(self, code: str, *arguments: str) -> tuple[int, str]:
        """Run Python in the bench's folder: exit code and output."""
        done = subprocess.run(
            [sys.executable, *arguments, "-c", code] if code else [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, self.there(done.stdout)

    def start(self, command: str) -> None:
        """Start a program that stays, on free ports instead of the documented ones."""
        workers = self._workers()
        documented = re.findall(r"--(bind|metrics-bind) (\S+)", command)
        for _, address in documented:
            command = command.replace(f" {address}", " 127.0.0.1:0")
        with (self.folder / "logs/memora-srs.error.log").open("a") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.here(command)}"],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.running.append(process)
        assert process.stdout
        for _, address in documented:
            line = process.stdout.readline()
            real = re.search(r"http://([^/\s]+)", line)
            assert real, f"{command}: {line}"
            self.addresses[address] = real[1]
        if command.startswith("memora-srs worker"):
            until("the worker has registered", lambda: self._workers() > workers)

    def _workers(self) -> int:
        with redis.Redis(port=self.queue.port) as connection:
            return int(connection.scard("rq:workers"))

    def end(self, process: subprocess.Popen[str]) -> None:
        """End a program that stays."""
        process.terminate()
        process.wait(timeout=PATIENCE)
        assert process.stdout
        process.stdout.close()
        self.running.remove(process)

    def close(self) -> None:
        """End everything."""
        for process in list(self.running):
            self.end(process)
        self.cache.stop()
        self.queue.stop()


@contextmanager
def bench(site: Site, folder: Path) -> Iterator[Bench]:
    """A bench until the end of the block."""
    made = Bench(site, folder)
    try:
        yield made
    finally:
        made.close()
