"""The README's Python runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from stage import ANN, ROOT, Stage, students


def test_the_snippet_of_the_readme(stage: Stage) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    site = stage.site(students=students(ANN))
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        env=os.environ | {"SITE": site.name, "SITES_PATH": str(site.sites_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 due, first: STAGE-000:0\n"), done.stdout
    assert "2 due now;" in done.stdout
