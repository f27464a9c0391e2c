"""Makes the README's pictures of the operations page: a site with students at work.

    make build && cd tests/python
    ../../target/venvs/py/bin/python -m docs.picture ../../target/release/memora-srs 9

with Chromium: nine minutes of traffic (the session wants Frappe after ten), then
`docs/images/operations-page*.png`. Fewer colours (pngquant 64) make them small.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from selenium import webdriver

from docs import bench as benches
from docs.bench import NAME, Bench, bench
from docs.scenes import OLD, Scenes
from stage import ROOT, Site, Stage, students, until

BOSS = "boss@example.com"
PUPILS = [f"pupil-{n}@example.com" for n in range(60)]
QUESTIONS = 900
API = "/api/method/memora.api.reviews."
# Requests a second of each thread, at most.
PACE, THREADS = 7, 4
SIZE = (1240, 1400)


def work(address: str, site: Site, end: float) -> None:
    """A few students in turn: a read, and answers to some of it."""
    connection = http.client.HTTPConnection(address)
    chance = random.Random()  # noqa: S311
    while time.monotonic() < end:
        began = time.monotonic()
        user = chance.choice(PUPILS)
        headers = {"Host": NAME, "Authorization": site.tokens[user]}
        connection.request("GET", API + "get_review_session?limit=10", headers=headers)
        due = json.loads(connection.getresponse().read())["message"]["questions"]
        answers = [
            {"question_id": q["question_id"], "quality": chance.choice([1, 3, 4, 4, 5])}
            for q in due[: chance.randint(2, 6)]
        ]
        if answers and chance.random() < 0.4:
            body = json.dumps({"responses": answers})
            headers["Content-Type"] = "application/json"
            connection.request("POST", API + "submit_review_session", body, headers)
            connection.getresponse().read()
        time.sleep(max(0, 1 / PACE - (time.monotonic() - began)))


def furnish(site: Site, made: Bench) -> None:
    """An administrator, workers, a season that is archived, and a reconciliation."""
    site.sql(
        "INSERT INTO `tabHas Role` (name, role, parent, parentfield, parenttype)"
        " VALUES ('boss', 'System Manager', %s, 'roles', 'User')",
        BOSS,
    )
    scenes = Scenes(made)
    scenes.sidecar()
    scenes.worker()
    scenes.old_season()
    for command in (
        f"archive --season {OLD} --yes",
        "rebuild --season SEASON-2026 --load 100",
        "reconcile --sample-size 20000",
    ):
        [(code, said)] = made.shell([f"memora-srs {command} --site {NAME}"])
        assert code == 0, said
    queue = ["rq", "worker", "-u", made.queue.url, "home-frappe-frappe-bench:long"]
    made.running.append(
        subprocess.Popen(
            queue, env=made.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    )


def browser(site: Site, address: str) -> webdriver.Chrome:
    """The page, seen by the administrator."""
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={SIZE[0]},{SIZE[1]}",
        "--host-resolver-rules=MAP * 127.0.0.1",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    [(sid,)] = site.sql("SELECT sid FROM tabSessions WHERE user = %s", BOSS)
    url = f"http://{NAME}:{address.rsplit(':', 1)[1]}/memora-srs/"
    driver.execute_cdp_cmd("Network.setCookie", {"name": "sid", "value": sid, "url": url})
    driver.get(url)
    return driver


def shoot(driver: webdriver.Chrome, scheme: str, to: Path) -> None:
    """A picture in light or dark."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.execute_script("window.scrollTo(0, 0)")
    time.sleep(3)
    driver.save_screenshot(str(to))


def main(program: Path, minutes: float) -> None:
    """Make both."""
    benches.PROGRAM = program.resolve()
    images = ROOT / "docs/images"
    images.mkdir(exist_ok=True)
    stage = Stage()
    try:
        site = stage.site(students=students(BOSS, *PUPILS, questions=QUESTIONS, due=880))
        with tempfile.TemporaryDirectory() as folder, bench(site, Path(folder)) as made:
            furnish(site, made)
            address = made.addresses["127.0.0.1:8765"]
            end = time.monotonic() + minutes * 60
            threads = [
                threading.Thread(target=work, args=(address, site, end)) for _ in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            driver = browser(site, address)
            pulse = "return document.querySelector('#pulse').dataset.state"
            until("the page is live", lambda: driver.execute_script(pulse) == "live")
            time.sleep(max(0, end - time.monotonic() - 15))
            shoot(driver, "light", images / "operations-page.png")
            shoot(driver, "dark", images / "operations-page-dark.png")
            driver.quit()
            for thread in threads:
                thread.join()
    finally:
        stage.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
