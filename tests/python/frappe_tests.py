"""Runs the app's own tests inside a bench: ``frappe_tests.py BENCH [--site SITE]``.

``bench run-tests`` ends with 0 though tests fail, and though it found none, so what it prints is
looked at: at least one test ran, and none failed. The site must have ``allow_tests``, and the
app installed; its servers must run, a worker need not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
FAILED = re.compile(r"^FAILED \(.*", re.MULTILINE)


def default_site(bench: Path) -> str | None:
    """The site that Frappe's commands use when none is named."""
    config = json.loads((bench / "sites/common_site_config.json").read_text())
    site: str | None = config.get("default_site")
    return site


def run(bench: Path, site: str, more: list[str]) -> tuple[int, str]:
    """Run the tests as ``bench`` does; exit code and output, which is passed on meanwhile."""
    command = [str(bench / "env/bin/python"), "-m", "frappe.utils.bench_helper", "frappe"]
    command += ["--site", site, "run-tests", "--app", "memora", *more]
    process = subprocess.Popen(
        command,
        cwd=bench / "sites",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if process.stdout is None:
        raise RuntimeError("no output to read")
    lines = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)
    return process.wait(), "".join(lines)


def verdict(code: int, output: str) -> str | None:
    """Why the run does not count as passed; None if it does."""
    if code:
        return f"run-tests ended with {code}"
    if failed := FAILED.findall(output):
        return str(failed[-1])
    if not sum(int(count) for count in RAN.findall(output)):
        return "no test ran"
    return None


def main() -> int:
    """Exit code 0 if tests ran and all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--site", default="", help="default: the bench's default_site")
    args, more = parser.parse_known_args()
    site = args.site or default_site(args.bench)
    if not site:
        parser.error("the bench has no default_site: name a site")
    what = verdict(*run(args.bench, site, more))
    sys.stdout.flush()
    print(f"{site}: {'all tests passed' if what is None else what}")
    return 0 if what is None else 1


if __name__ == "__main__":
    sys.exit(main())
