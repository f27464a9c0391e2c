"""A season's form in Desk: ``desk_of_frappe.py BENCH [--site SITE] --program memora-srs``.

Opens it in Chromium, through nginx, on gunicorn and socketio of the bench's Frappe, clicks
*Rebuild Cache*, archives, and looks at what a System Manager sees: the bar, how it ends, and
that no script fails. Frappe's own worker does the jobs.

The site as for ``compare_doors.py``; its assets must be built (``bench build``), and node,
chromium and chromedriver be there. Exit code 1 if something is not so.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_site
from doors.browser import Browser, browser, program
from doors.flows import check, passes
from doors.front import Relay, nginx
from doors.view import View, free_port, listens, wait_until

# Of many students, so that it takes seconds; and of none, so that it takes none.
LONG, SHORT = "SEASON-DESK", "SEASON-DESK-EMPTY"
STUDENTS, QUESTIONS = 4000, 60

LOG_IN = """
return fetch("/api/method/login", {method: "POST", body: new URLSearchParams(
    {usr: arguments[0], pwd: arguments[1]})}).then((answer) => answer.status)
"""

# Notes each state of the bar, and each alert.
WATCH = """
window.bars = []; window.alerts = [];
new MutationObserver(() => {
    const bar = document.querySelector(".progress-area .progress-bar");
    const text = document.querySelector(".progress-area .progress-message");
    if (bar && bar.offsetParent) {
        const now = bar.style.width + " " + text.textContent;
        if (window.bars.at(-1) !== now) window.bars.push(now);
    }
    document.querySelectorAll(".desk-alert .alert-message").forEach((alert) => {
        const now = alert.textContent.trim();
        if (now && !window.alerts.includes(now)) window.alerts.push(now);
    });
}).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
"""

# Those of before are on the screen for a while.
FORGET = """
document.querySelectorAll(".desk-alert").forEach((alert) => alert.remove());
window.bars = []; window.alerts = [];
"""

BUTTON = """
const all = [...document.querySelectorAll("button")];
const found = all.find((button) => button.textContent.trim() === arguments[0]);
if (found && arguments[1]) found.click();
return Boolean(found && !found.disabled);
"""

LISTENERS = """
return ["cache_rebuild", "season_archive"].map((e) => frappe.realtime.socket.listeners(e).length)
"""


class Form:
    """A season's form."""

    def __init__(self, window: Browser, address: str) -> None:
        """Take the browser, where a System Manager is logged in."""
        self.window, self.address = window, address

    def show(self, season: str) -> None:
        """Load Desk with it, until the form has heard what stands behind the season.

        In a window more: socketio forgets a site whose last window leaves while the next one
        still logs in, which then hears nothing.
        """
        self.window.new_tab()
        self.window.open(f"{self.address}/app/game-subscription-season/{season}")
        wait_until(lambda: self.is_ready("Rebuild Cache"), f"the form of {season}")
        connected = "return frappe.realtime.socket.connected"
        wait_until(lambda: bool(self.window.run(connected)), "Desk hears of what happens")
        self.window.run(WATCH)

    def is_ready(self, button: str) -> bool:
        """Whether there is such a button, to be clicked."""
        return bool(self.window.run(BUTTON, button, False))

    def rebuild(self) -> tuple[list[str], list[str]]:
        """Click, wait for the end; what the bar showed, and the alerts."""
        self.window.run(FORGET)
        before = self.window.run(LISTENERS)
        # Frappe's worker has told of the end before its job is over: until then one is under way.
        wait_until(self.is_started, "a rebuild is started")
        self.told("Rebuilt")
        wait_until(lambda: self.is_ready("Rebuild Cache"), "it can be clicked again")
        check(self.window.run(LISTENERS) == before, "it listens on")
        return self.seen()

    def is_started(self) -> bool:
        """Click; whether that has started a rebuild."""
        self.window.run(BUTTON, "Rebuild Cache", True)
        wait_until(lambda: bool(self.seen()[1]), "what came of the click")
        if "Rebuilding schedules" in self.seen()[1][0]:
            return True
        self.window.run(FORGET)
        return False

    def told(self, alert: str) -> None:
        """Wait until it is said, or a script fails."""
        errors: list[str] = []

        def is_over() -> bool:
            errors.extend(self.window.errors())
            return bool(errors) or alert in self.seen()[1]

        try:
            wait_until(is_over, alert)
        except AssertionError as e:
            raise AssertionError(f"{e}, but {self.seen()}") from None
        check(not errors, errors)

    def seen(self) -> tuple[list[str], list[str]]:
        """The bar's states and the alerts since the last click."""
        bars, alerts = self.window.run("return [window.bars, window.alerts]")
        return bars, alerts

    def no_errors(self) -> None:
        """No script has failed."""
        errors = self.window.errors()
        check(not errors, errors)

    # The steps, in their order.

    def infrastructure(self) -> None:
        """What stands behind the season is shown."""
        self.show(LONG)
        text = self.window.run("return cur_frm.fields_dict.infrastructure_html.$wrapper.text()")
        for words in ("memora-srs", "p_season_desk", "Redis answers"):
            check(words in text, text)
        self.no_errors()

    def long(self) -> None:
        """A bar grows and goes; twice, for what listened the first time is gone."""
        for _ in range(2):
            bars, alerts = self.rebuild()
            check(len(bars) > 2, f"the bar showed {bars}")
            grown = [int(bar.partition("%")[0]) for bar in bars]
            check(grown == sorted(grown), bars)
            check(any(f"of {STUDENTS} students" in bar for bar in bars), bars)
            gone = "return !document.querySelector('.progress-area .progress-bar')"
            check(self.window.run(gone), "the bar is still there")
            print(f"      {bars}, then {alerts}")
        self.no_errors()

    def deaf(self) -> None:
        """Where Desk hears nothing the form asks."""
        self.show(LONG)
        self.window.run("frappe.realtime.socket.disconnect()")
        bars, alerts = self.rebuild()
        check(any(f"of {STUDENTS} students" in bar for bar in bars), bars)
        print(f"      {bars}, then {alerts}")
        self.no_errors()

    def short(self) -> None:
        """What is over at once is told, too."""
        self.show(SHORT)
        self.rebuild()
        self.no_errors()

    def archived(self) -> None:
        """Archiving has its bar, and the form then says so."""
        self.show(LONG)
        call = "return frappe.xcall('memora.api.srs.archive_season', arguments[0])"
        answer = self.window.run(call, {"season": LONG, "confirm": 1})
        check(answer["status"] == "started", answer)
        self.told("Archived")
        bars, alerts = self.seen()
        check(bars, "there was no bar")
        archived = "return Boolean(cur_frm.doc.archived_on)"
        wait_until(lambda: bool(self.window.run(archived)), "the form has it")
        print(f"      {bars}, then {alerts}")
        self.no_errors()


@contextlib.contextmanager
def realtime(view: View) -> Iterator[int]:
    """Frappe's socketio process, as the bench runs it; its port."""
    port, relay = free_port(), Relay(view)
    environment = {
        "FRAPPE_BENCH_ROOT": str(view.folder),
        "FRAPPE_SOCKETIO_PORT": str(port),
        "FRAPPE_REDIS_QUEUE": relay.environment["FRAPPE_REDIS_QUEUE"],
    }
    script = view.bench / "apps/frappe/socketio.js"
    try:
        with view.running("socketio", [program("node", "nodejs"), str(script)], (), **environment):
            wait_until(lambda: listens(port), "socketio listens")
            yield port
    finally:
        relay.close()


def play(view: View, memora: Path, stage: dict[str, Any]) -> int:
    """All steps; how many failed."""
    view.execute("make_seasons", names=[LONG, SHORT])
    view.execute("add_rows", season=LONG, students=STUDENTS, each=QUESTIONS)
    set_up = view.execute("set_up", done=1)
    worker = [str(view.python), "-m", "frappe.utils.bench_helper", "frappe", "worker"]
    try:
        with (
            view.gunicorn() as frappe,
            realtime(view) as sockets,
            nginx(view, memora, frappe, free_port(), sockets) as port,
            view.running("worker", [*worker, "--queue", "long"]),
            browser(view) as window,
        ):
            form = Form(window, f"http://127.0.0.1:{port}")
            window.open(f"{form.address}/login")
            status = window.run(LOG_IN, stage["people"]["manager"], stage["password"])
            check(status == 200, f"login: {status}")
            steps = {
                "the form shows what stands behind the season": form.infrastructure,
                "Rebuild Cache has a bar that grows and goes": form.long,
                "so it does where Desk hears nothing": form.deaf,
                "a rebuild that is over at once is told": form.short,
                "archiving has a bar, and the form says so": form.archived,
            }
            return sum(passes(what, step) for what, step in steps.items())
    finally:
        view.execute("set_up", done=set_up)


def tidy(view: View) -> None:
    """Remove the seasons, however far they came."""
    for season in (LONG, SHORT):
        view.execute("forget_season", season=season)


if __name__ == "__main__":
    well = "Desk shows what becomes of a season"
    sys.exit(bench_site.main(__doc__, play, well, "{failed} steps failed", tidy))
