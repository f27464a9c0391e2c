"""Chromium, driven by the protocol of its driver: a bench's Python has no package for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from collections.abc import Iterator
from typing import Any

from doors.view import View, free_port, listens, wait_until

# How every test here starts Chromium.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Seconds that the driver may take for a step.
PATIENCE = 90


class Browser:
    """One window."""

    def __init__(self, port: int) -> None:
        """Open it."""
        self.port = port
        args = [*FLAGS, "--window-size=1400,1000"]
        options = {"args": args, "binary": program("chromium", "google-chrome")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{session['sessionId']}"

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Have the driver do something; what came of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            text = json.dumps({} if body is None else body) if method == "POST" else None
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        if answer.status != 200:
            raise AssertionError(f"{path}: {value['message'][:500]}")
        return value

    def open(self, address: str) -> None:
        """Visit it."""
        self.send("POST", f"{self.session}/url", {"url": address})

    def new_tab(self) -> None:
        """Go on in another one; those of before stay open."""
        made = self.send("POST", f"{self.session}/window/new", {"type": "tab"})
        self.send("POST", f"{self.session}/window", {"handle": made["handle"]})

    def run(self, script: str, *args: Any) -> Any:
        """Run a function's body in the page; what it, or its promise, returned."""
        body = {"script": script, "args": list(args)}
        return self.send("POST", f"{self.session}/execute/sync", body)

    def errors(self) -> list[str]:
        """What scripts of the page have failed with since last asked."""
        said = self.send("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in said if entry["source"] == "javascript"]

    def close(self) -> None:
        """Close it."""
        self.send("DELETE", self.session)


def program(*names: str) -> str:
    """The file of one of these programs."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise SystemExit(f"there is no {names[0]} on this machine to start")
    return found


@contextlib.contextmanager
def browser(view: View) -> Iterator[Browser]:
    """A browser, until the end of the block."""
    port = free_port()
    with view.running("chromedriver", [program("chromedriver"), f"--port={port}"]):
        wait_until(lambda: listens(port), "the browser's driver listens")
        window = Browser(port)
        try:
            yield window
        finally:
            window.close()
