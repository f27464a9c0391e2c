"""The operations page in headless Chromium: a real sidecar, a real site, Frappe's sessions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import memora_srs
from operations_page import BOSS, CHROMIUM, DRIVER, PHONE, Page, browser
from serving import make_manager, sidecar
from stage import SEASON, TRACKER, Site, Stage, stop, students, until

HERE = Path(__file__).parent
PUPILS = [f"pupil-{n}@example.com" for n in range(6)]
OLD, NEW = "SEASON-2025", "SEASON-2025-B"
# Were it put into the page as markup, this would run.
MARKUP = "<img src=x onerror=\"document.title='run'\"><b>"
TOKEN = "0123456789abcdef"  # noqa: S105

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no browser: install Debian's packages chromium and chromium-driver",
    ),
]

# RQ's worker, as bench runs it for the queue `long`.
WORKER = """
import sys, redis, rq
connection = redis.Redis.from_url(sys.argv[1])
rq.Worker([sys.argv[2]], connection=connection).work(burst=True)
"""


def add_season(site: Site, name: str) -> None:
    """A season that is over."""
    site.sql(
        "INSERT INTO `tabGame Subscription Season` (name, season_name, creation, modified,"
        " start_date, end_date, enable_redis)"
        " VALUES (%s, %s, '2025-01-01', '2026-01-01', '2025-01-01', '2025-12-31', 1)",
        name,
        name,
    )
    memora_srs.PartitionManager(*site.args).create_season_partition(name)


@pytest.fixture(scope="module")
def school(stage: Stage) -> Site:
    """A site with a System Manager, students, and seasons; one is over, one has markup."""
    site = stage.site(students=students(BOSS, *PUPILS))
    make_manager(site, BOSS)
    # A session that Desk gave a token; only the table has it, as after an eviction.
    [(data,)] = site.sql("SELECT sessiondata FROM tabSessions WHERE user = %s", BOSS)
    with_token = data.replace("'lang'", f"'csrf_token': '{TOKEN}', 'lang'")
    site.sql("UPDATE tabSessions SET sessiondata = %s WHERE user = %s", with_token, BOSS)
    [(sid,)] = site.sql("SELECT sid FROM tabSessions WHERE user = %s", BOSS)
    site.redis.hdel(f"{site.db_name}|session", sid)
    for name in (OLD, MARKUP):
        add_season(site, name)
    site.sql(
        f"INSERT INTO {TRACKER} (name, player, season, question_id)"  # noqa: S608
        " SELECT CONCAT('old', name), player, %s, question_id"
        f" FROM {TRACKER} WHERE season = %s AND player = %s",
        OLD,
        SEASON,
        PUPILS[0],
    )
    return site


@pytest.fixture(scope="module")
def port(school: Site) -> Iterator[int]:
    """The port of a sidecar that serves it."""
    with sidecar(school) as port:
        yield port


@pytest.fixture
def page(school: Site, port: int) -> Iterator[Page]:
    """The page, not yet visited."""
    with browser(school, port) as page:
        yield page


def work_off(site: Site) -> subprocess.Popen[bytes]:
    """RQ's worker of the queue `long`, which ends with the queue; each student takes a second."""
    paths = [str(HERE / "app_stand_in"), str(HERE / "stand_in")]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SITE": site.name,
        "SITES_PATH": str(site.sites_path),
        "MEMORA_FAILPOINTS": "rebuild_published=sleep1000",
    }
    queue = f"{site.bench_id}:long"
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, site.queue_url, queue],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )


def test_a_rebuild_is_started_confirmed_and_seen(page: Page) -> None:
    page.opened()
    assert "SEASON-2026" in page.text(page.find("#seasons"))
    page.button(f"Rebuild the cache of {SEASON}").click()
    page.find("#dialog-go").click()
    until("the job is queued", lambda: "queued" in page.text(page.find("#messages")))
    assert "waits for a worker" in page.text(page.find("#messages"))
    until("that is a warning", lambda: "Nobody listens" in page.text(page.find("#health")))
    connection = redis.Redis.from_url(page.site.queue_url)
    assert connection.llen(f"rq:queue:{page.site.bench_id}:long") == 1
    with work_off(page.site) as worker:
        work = page.row(SEASON).find_element(By.CSS_SELECTOR, ".work")
        until("progress", lambda: "of 7 students" in page.text(work))
        assert work.find_element(By.TAG_NAME, "progress").is_displayed()
        assert not page.may(f"Rebuild the cache of {SEASON}")
        until("the end", lambda: page.text(work).startswith("Rebuilt"))
        assert worker.wait(timeout=30) == 0
    cached = page.row(SEASON).find_element(By.CSS_SELECTOR, "[data-label='Cached schedules']")
    until("all are cached", lambda: page.text(cached) == "7")
    assert page.complaints() == []


def test_a_reconciliation_by_the_keyboard_alone(page: Page) -> None:
    page.opened()
    page.tab_to("Reconcile…")
    outline = page.driver.execute_script(
        "return getComputedStyle(document.activeElement).outlineStyle"
    )
    assert outline == "solid"
    page.press(Keys.ENTER)
    assert page.focused() == "Season"
    page.press(Keys.ESCAPE)
    assert page.focused() == "Reconcile…", "the keyboard is back where it was"
    page.press(Keys.ENTER)
    page.press(Keys.TAB)
    assert page.focused() == "Questions to compare"
    page.press(Keys.CONTROL + "a" + Keys.NULL, "50")
    assert not page.find("#dialog-go").is_enabled(), "too few"
    page.press("0", Keys.ENTER)
    until("it is done", lambda: " compared, " in page.text(page.find("#messages")))
    assert "0 wrong" in page.text(page.find("#messages"))
    assert not page.find("#dialog").is_displayed()
    until("it is listed", lambda: "all" in page.text(page.find("#reconciliations tbody")))
    assert page.complaints() == []


def test_the_keyboard_stays_on_a_button_whatever_is_drawn_anew(page: Page) -> None:
    page.opened()
    label = f"Rebuild the cache of {MARKUP}"
    page.tab_to(label)
    button = page.driver.switch_to.active_element

    def stays(what: str) -> None:
        assert page.focused() == label, what
        assert page.driver.switch_to.active_element == button, what

    page.looked_again()
    stays("nothing has changed")
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#seasons tbody tr")
    change = "UPDATE `tabGame Subscription Season` SET {} WHERE name = %s"
    try:
        page.site.sql(change.format("auto_archive = 1"), MARKUP)
        until("its row says so", lambda: "archives itself" in page.text(page.row(MARKUP)))
        stays("its row has changed")
        add_season(page.site, NEW)
        page.site.sql(change.format("start_date = '2025-06-01'"), NEW)
        until("it is listed", lambda: NEW in page.text(page.find("#seasons")))
        stays("there is a row above it")
        page.site.sql(change.format("is_active = 1"), MARKUP)
        until("its row is moved", lambda: page.seasons()[:2] == [SEASON, MARKUP])
        stays("its row was moved")
        page.site.sql(change.format("enable_redis = 0"), MARKUP)
        until("its button may not be used", lambda: not page.may(label))
        # A browser takes the keyboard from a button only when it paints next.
        page.looked_again()
        stays("its button may not be used")
        page.press(Keys.ENTER)
        assert not page.find("#dialog").is_displayed()
    finally:
        page.site.sql(change.format("is_active = 0, auto_archive = 0, enable_redis = 1"), MARKUP)
        page.site.sql("DELETE FROM `tabGame Subscription Season` WHERE name = %s", NEW)
    until("it is gone", lambda: len(page.seasons()) == len(rows))
    stays("a row above it is gone")
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("button", "first"),
    [
        (f"Rebuild the cache of {SEASON}", "Cancel"),
        (f"Archive {OLD}", "Type the season's name to confirm"),
        ("Reconcile…", "Season"),
    ],
)
def test_a_dialog_takes_the_keyboard_and_gives_it_back(page: Page, button: str, first: str) -> None:
    page.opened()
    page.tab_to(button)
    for leave in (Keys.ESCAPE, "Cancel"):
        page.press(Keys.ENTER)
        assert page.find("#dialog").is_displayed()
        assert page.focused() == first
        page.looked_again()
        assert page.focused() == first, "the page behind it is drawn anew"
        if leave == Keys.ESCAPE:
            page.press(leave)
        else:
            page.tab_to(leave)
            page.press(Keys.ENTER)
        assert not page.find("#dialog").is_displayed()
        assert page.focused() == button, leave


def test_an_archive_wants_the_seasons_name(page: Page) -> None:
    page.opened()
    assert not page.may(f"Archive {SEASON}"), "it is active"
    page.button(f"Archive {SEASON}").click()
    assert not page.find("#dialog").is_displayed()
    page.button(f"Archive {OLD}").click()
    name, go = page.find("#archive-name"), page.find("#dialog-go")
    for wrong in ("", OLD.lower(), OLD[:-1]):
        name.clear()
        name.send_keys(wrong)
        assert not go.is_enabled(), wrong
    name.clear()
    name.send_keys(OLD)
    go.click()
    until("it is archived", lambda: "is archived: 20 rows" in page.text(page.find("#messages")))
    until("its row says so", lambda: "archived 20" in page.text(page.row(OLD)))
    until("it is listed", lambda: OLD in page.text(page.find("#archives tbody")))
    assert page.site.sql("SELECT COUNT(*) FROM `tabArchived Memory Tracker`") == [(20,)]


def test_what_is_refused_is_said_in_the_dialog(page: Page) -> None:
    page.opened()
    # Meanwhile somebody else begins to play it.
    page.button(f"Archive {MARKUP}").click()
    page.site.sql("UPDATE `tabGame Subscription Season` SET is_active = 1 WHERE name = %s", MARKUP)
    try:
        page.find("#archive-name").send_keys(MARKUP)
        page.find("#dialog-go").click()
        error = page.find("#dialog-error")
        until("the refusal is read", lambda: "active" in page.text(error))
        assert page.find("#dialog").is_displayed()
    finally:
        page.site.sql(
            "UPDATE `tabGame Subscription Season` SET is_active = 0 WHERE name = %s", MARKUP
        )


def test_names_are_data(page: Page) -> None:
    page.opened()
    assert page.text(page.row(MARKUP).find_element(By.TAG_NAME, "th")).startswith(MARKUP)
    page.button(f"Rebuild the cache of {MARKUP}").click()
    page.find("#dialog-go").click()
    until("the job is queued", lambda: MARKUP in page.text(page.find("#messages")))
    assert page.driver.find_elements(By.CSS_SELECTOR, "img, b b, td b") == []
    assert page.driver.title.endswith("Memora SRS")
    assert page.complaints() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(school: Site, port: int, dark: bool) -> None:
    with browser(school, port, PHONE, dark=dark) as page:
        page.opened()
        width = page.driver.execute_script("return document.documentElement.scrollWidth")
        assert width == PHONE[0], "it scrolls sideways"
        for selector in ("#health li", ".tile .detail", "#seasons tbody th", "#reconcile"):
            assert page.contrast(selector) >= 4.5, selector
        button = page.button(f"Rebuild the cache of {SEASON}")
        assert button.size["height"] >= 40, "too small for a finger"
        button.click()
        dialog = page.find("#dialog")
        assert dialog.is_displayed()
        assert dialog.rect["x"] >= 0
        assert dialog.rect["x"] + dialog.rect["width"] <= PHONE[0]


def test_plots_have_units_and_legends(page: Page) -> None:
    page.opened()
    figures = page.driver.find_elements(By.TAG_NAME, "figure")
    assert [page.text(figure.find_element(By.TAG_NAME, "figcaption")) for figure in figures] == [
        "Reads, latency in ms",
        "Submits, latency in ms",
        "Throughput in requests per second",
        "Queue and journal in jobs, rows",
    ]
    for figure in figures:
        assert len(figure.find_elements(By.CSS_SELECTOR, ".legend li")) >= 2
        plot = figure.find_element(By.CSS_SELECTOR, "svg[role=img]")
        assert plot.get_attribute("aria-label")
        ticks = [page.text(tick) for tick in plot.find_elements(By.TAG_NAME, "text")]
        assert {"0", "now", "\u221215 min"} <= set(ticks)


def test_a_student_sees_nothing_and_a_guest_is_sent_to_log_in(page: Page) -> None:
    page.open(PUPILS[0])
    assert "Only a System Manager" in page.find("body").text
    assert page.driver.find_elements(By.TAG_NAME, "script") == []
    page.driver.delete_all_cookies()
    page.driver.get(page.address)
    assert page.driver.current_url.endswith("/login?redirect-to=%2Fmemora-srs%2F")


def hold(page: Page) -> None:
    """Keep what the page asks to be done until `held` says how it ends."""
    page.driver.execute_script(HOLD)


def release(page: Page, script: str) -> None:
    """End what was asked first in a way, and let the page see it."""
    page.driver.execute_async_script(f"held.shift()({script}); setTimeout(arguments[0], 50)")


HOLD = """
const real = window.fetch;
window.held = [];
window.fetch = (url, options) => String(url).includes("memora.api.srs.")
  ? new Promise((answer, fail) => window.held.push((end) => end(answer, fail)))
  : real(url, options);
"""
FAILS = "(_, fail) => fail(new Error('too late'))"
QUEUED = """(answer) => answer(new Response(JSON.stringify(
  {message: {status: "started", job_id: "x", estimated_records: 7}})))"""


@pytest.mark.parametrize(
    ("ends", "says"), [(FAILS, "too late"), (QUEUED, "queued: about 7 questions")]
)
def test_what_was_asked_in_a_dialog_that_is_left_ends_in_no_other(
    page: Page, ends: str, says: str
) -> None:
    page.opened()
    hold(page)
    go, error = page.find("#dialog-go"), page.find("#dialog-error")
    page.button(f"Rebuild the cache of {SEASON}").click()
    go.click()
    assert page.text(go) == "Working\u2026"
    page.find("#dialog-cancel").click()
    page.button("Reconcile\u2026").click()
    assert page.text(go) == "Reconcile"
    release(page, ends)
    assert page.find("#dialog").is_displayed(), "the other dialog stays"
    assert (page.text(go), page.text(error)) == ("Reconcile", "")
    assert go.is_enabled()
    # How it ended is said nevertheless.
    until("that is said", lambda: says in page.text(page.find("#messages")))
    assert SEASON in page.text(page.find("#messages"))
    # The first one's end does not answer for the second.
    go.click()
    page.find("#dialog-cancel").click()
    page.button(f"Rebuild the cache of {SEASON}").click()
    go.click()
    release(page, FAILS)
    assert page.text(go) == "Working\u2026"
    release(page, FAILS)
    assert (page.text(go), page.text(error)) == ("Rebuild", "too late")


def test_seasons_and_partitions_that_are_not_listed_are_told(page: Page) -> None:
    page.opened()
    note = page.find("#seasons-more")
    gone = "SEASON-GONE"
    # Seasons that other tests have dropped may be named.
    assert gone not in page.text(note)
    assert "200 seasons" not in page.text(note)
    add_season(page.site, gone)
    page.site.sql("DELETE FROM `tabGame Subscription Season` WHERE name = %s", gone)
    until("the partition is named", lambda: gone in page.text(note))
    assert "of no season that there is" in page.text(note)
    assert "200 seasons" not in page.text(note)
    many = "name LIKE 'MANY-%%'"
    page.site.sql(
        "INSERT INTO `tabGame Subscription Season` (name, season_name, creation, modified,"
        " start_date, end_date)"
        " SELECT CONCAT('MANY-', seq), CONCAT('MANY-', seq), NOW(), NOW(), '2024-01-01',"
        " '2024-12-31' FROM seq_1_to_201 WHERE %s",
        1,
    )
    try:
        until("there are more", lambda: "200 seasons" in page.text(note))
        assert "memora-srs partition list" in page.text(note)
        assert len(page.driver.find_elements(By.CSS_SELECTOR, "#seasons tbody tr")) == 200
    finally:
        page.site.sql(f"DELETE FROM `tabGame Subscription Season` WHERE {many} AND %s", 1)  # noqa: S608
    until("that is over", lambda: "200 seasons" not in page.text(note))


def test_a_mariadb_that_hangs_is_named_and_the_rest_is_shown(stage: Stage) -> None:
    site = stage.site(own_servers=True, students=students(BOSS))
    make_manager(site, BOSS)
    with sidecar(site) as port, browser(site, port) as page:
        page.opened()
        until("the seasons are listed", lambda: SEASON in page.text(page.find("#seasons")))
        stop(site.mariadb_pid)
        try:
            health = page.find("#health")
            until("that is said", lambda: "MariaDB does not answer" in page.text(health))
            assert page.pulse() == "live"
            tiles = page.text(page.find("#tiles"))
            assert "Journal?" in tiles
            assert "Queue0" in tiles
            # What was seen before stays, and is said to be old.
            assert page.row(SEASON).is_displayed()
            assert "as last seen" in page.text(page.find("#seasons-more"))
        finally:
            os.kill(site.mariadb_pid, signal.SIGCONT)
        until("it is back", lambda: "MariaDB" not in page.text(page.find("#health-list")))
        assert page.text(page.find("#seasons-more")) == ""


def test_a_site_that_the_sidecar_leaves_to_frappe_is_said(stage: Stage) -> None:
    site = stage.site(students=students(BOSS))
    make_manager(site, BOSS)
    with sidecar(site) as port, browser(site, port) as page:
        page.opened()
        site.set_config(srs_sidecar=0)
        until("that is said", lambda: "reload this page" in page.text(page.find("#pulse-text")))
        page.driver.refresh()
        assert "switched off for this site" in page.find("body").text


def test_a_sidecar_that_is_gone_is_said(school: Site) -> None:
    with sidecar(school) as port, browser(school, port) as page:
        page.opened()
        page.driver.execute_cdp_cmd("Network.enable", {})
        page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*status.json*"]})
        until("that is said", lambda: page.pulse() == "lost")
        page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        until("it is back", lambda: page.pulse() == "live")
