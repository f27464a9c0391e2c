"""The Makefile installs what is missing from Debian's packages, and starts nothing of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from stage import ROOT

# What the recipe itself runs.
TOOLS = ["bash", "chmod", "make", "rm"]
# Whoever installs here is root, and has no server.
FAKES = {
    "id": "echo 0",
    # As Debian's scripts do before they start what they have installed.
    "apt-get": 'echo "$* $("$POLICY" prometheus start >&2; echo $?)" >> "$SAID"',
}


def test_what_is_installed_is_not_started(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (programs / tool).symlink_to(found)
    for name, text in FAKES.items():
        fake = programs / name
        fake.write_text(f"#!{programs}/bash\n{text}\n")
        fake.chmod(0o755)
    policy, said = tmp_path / "policy-rc.d", tmp_path / "said"
    environment = {"PATH": str(programs), "SAID": str(said), "POLICY": str(policy)}
    command = ["make", "promtool", f"SHELL={programs}/bash"]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    assert said.read_text().splitlines() == [
        "update 101",
        "install -y --no-install-recommends prometheus 101",
    ]
    assert not policy.exists(), "it is the host's again"
    # A policy of the host's own is left alone.
    policy.write_text("#!/bin/sh\nexit 42\n")
    policy.chmod(0o755)
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
    assert said.read_text().splitlines()[-1].endswith(" 42")
    assert policy.exists()


def test_the_tests_have_the_programs_that_they_need() -> None:
    """No test is left out for want of a program that `make test` could have installed."""
    makefile = (ROOT / "Makefile").read_text()
    [needs] = [line for line in makefile.splitlines() if line.startswith("test: ")]
    assert {"servers", "nginx", "promtool"} <= set(needs.split())
