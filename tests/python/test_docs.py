"""Every command of the documentation runs and prints what its page says, or says why it cannot.

`<!-- not run: why -->` is the one comment, of those that `docs/blocks.py` lists, for the latter.
`MEMORA_UPDATE_DOCS=1` writes what was printed into the pages, instead of complaining.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from docs import facts
from docs.bench import PROGRAM
from docs.blocks import ROOT, RUNNABLE, blocks, pages, spans
from docs.run import run
from stage import ANN, BOB, Site, Stage, students

PAGES = pages()
BLOCKS = {page: blocks(page) for page in PAGES}
# Forms that can be judged without running anything.
JUDGED = ("json", "yaml", "toml", "nginx", "procfile")
LOOKS_LIKE_A_COMMAND = re.compile(r"(?m)^(\$ |(sudo |make |bench |memora-srs |curl |redis-cli ))")

pages_of_blocks = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


def school() -> list[dict[str, object]]:
    """Ann has 20 questions, 5 of them due; Bob has more."""
    return [*students(ANN), *students(BOB, questions=1200)]


@pytest.fixture(scope="module")
def complaints(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[Path, Future[list[str]]]]:
    """What is wrong with each page. They run beside each other: much of it is waiting."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = {call.params.get("page") for call in calls if call}
    with ThreadPoolExecutor(3) as pool:
        running = {}
        for page in sorted(PAGES, key=lambda page: len(BLOCKS[page]), reverse=True):
            if page not in wanted or not any(block.runs for block in BLOCKS[page]):
                continue
            # What is stopped there may not be another page's.
            own = any("mariadb_hangs" in block.scenes for block in BLOCKS[page])
            site = stage.site(own_servers=own, students=school())
            folder = tmp_path_factory.mktemp(page.stem) / "frappe-bench"
            folder.mkdir()
            running[page] = pool.submit(run, page, BLOCKS[page], site, folder)
        yield running


# Half a minute, of which most is waiting; on a busy machine several times as long.
@pytest.mark.timeout(400)
@pages_of_blocks
def test_what_a_page_says_to_do_can_be_done(
    page: Path, complaints: dict[Path, Future[list[str]]]
) -> None:
    if page in complaints:
        wrong = complaints[page].result()
        assert not wrong, "\n\n".join(wrong)


@pages_of_blocks
def test_what_a_page_names_is_there(page: Path) -> None:
    wrong = []
    for block in BLOCKS[page]:
        if block.language in ("sh", "console"):
            wrong += [f"{block}: {what}" for what in facts.wrong(block.shell())]
        for dotted in re.findall(r'"(memora\.[a-z_0-9]+\.[a-zA-Z_.0-9]+)"', block.text):
            wrong += [f"{block}: {what}" for what in facts.missing(dotted)]
    for span in spans(page):
        wrong += facts.wrong(span)
    wrong += facts.missing_files(spans(page)) + facts.broken_links(page)
    assert not wrong, "\n".join(wrong)


def test_every_setting_is_on_its_page(site: Site) -> None:
    asked = [str(PROGRAM), "check-config", "--json", "--sites-path", str(site.sites_path)]
    said = subprocess.run(asked, capture_output=True, check=True).stdout
    [report] = json.loads(said)
    read = {setting["key"] for setting in report["settings"]}
    rows = re.findall(r"(?m)^\| (`.+?) \|", (ROOT / "docs/CONFIGURATION.md").read_text())
    told = set(re.findall(r"`([a-z_]+)`", " ".join(rows)))
    assert len(read) > 30
    assert read <= told, read - told
    ours = {key for key in told if key.startswith("srs_")}
    assert ours <= read, ours - read


def test_every_alert_leads_to_the_runbook() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/memora-srs.rules.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    runbook = ROOT / "docs/RUNBOOK.md"
    for alert in alerts:
        page, _, heading = alert["annotations"]["runbook"].partition("#")
        assert ROOT / page == runbook, alert["alert"]
        assert heading in facts.anchors(runbook), alert["alert"]
        assert f"`{alert['alert']}`" in runbook.read_text(), alert["alert"]


def test_every_block_is_run_or_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    count: Counter[str] = Counter()
    wrong = []
    for block in (block for page in PAGES for block in BLOCKS[page]):
        if block.language in RUNNABLE:
            count["excused" if block.excuse else "run"] += 1
            if block.excuse is not None and len(block.excuse) < 10:
                wrong.append(f"{block}: says no reason")
        elif block.language in JUDGED:
            count["judged by its form"] += 1
        elif block.language == "text":
            count["text"] += 1
            if LOOKS_LIKE_A_COMMAND.search(block.text):
                wrong.append(f"{block}: is a command: ```sh or ```console")
        else:
            wrong.append(f"{block}: of what kind is ```{block.language}")
    assert not wrong, "\n".join(wrong)
    with capsys.disabled():
        print("\ndocs: " + ", ".join(f"{count[kind]} {kind}" for kind in count))


def test_what_has_a_form_has_the_right_one() -> None:
    for block in (block for page in PAGES for block in BLOCKS[page]):
        if block.language == "json":
            text = block.text if block.text.lstrip().startswith(("{", "[")) else f"{{{block.text}}}"
            json.loads(text)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), str(block)
