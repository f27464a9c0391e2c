"""The package as users and type checkers see it."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import memora_srs
from memora_srs import _core
from stage import ROOT

PACKAGE = Path(memora_srs.__file__).parent

LOOK = """
import json, os, sys
def look():
    return len(os.listdir("/proc/self/task")), sorted(os.listdir("/proc/self/fd"))
before = look()
import memora_srs
for name in memora_srs.__all__:
    made = getattr(memora_srs, name)
    if isinstance(made, type) and not issubclass(made, Exception):
        made("site.test", "/nowhere")
assert look() == before, (before, look())
assert "frappe" not in sys.modules
"""


def test_importing_makes_no_thread_and_opens_nothing() -> None:
    subprocess.run([sys.executable, "-c", LOOK], check=True)


def test_the_version_is_the_distributions() -> None:
    assert memora_srs.__version__ == importlib.metadata.version("memora-srs")


def test_all_names_everything_public() -> None:
    assert set(memora_srs.__all__) <= set(dir(memora_srs))
    native = {name for name in dir(_core) if not name.startswith("_")}
    assert native <= set(memora_srs.__all__)


@pytest.mark.parametrize(
    "check",
    [
        ["mypy.stubtest", "memora_srs", "--mypy-config-file", str(ROOT / "pyproject.toml")],
        ["mypy", "--strict", str(ROOT / "py-bindings/python/memora_srs")],
    ],
    ids=["stubs", "package"],
)
def test_types_hold(check: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *check], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def docstrings(body: list[ast.stmt], prefix: str = "") -> dict[str, str | None]:
    """Docstrings of the stub by dotted name."""
    found: dict[str, str | None] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[prefix + node.name] = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            found |= docstrings(node.body, f"{prefix}{node.name}.")
    return found


def test_everything_is_documented_alike_in_the_stub_and_at_run_time() -> None:
    stub = docstrings(ast.parse((PACKAGE / "_core.pyi").read_text()).body)
    assert len(stub) > 50
    for name, said in stub.items():
        assert said, f"{name} has no docstring in the stub"
        if name.endswith(".__new__"):
            continue
        there = _core
        for part in name.split("."):
            there = getattr(there, part)
        assert inspect.getdoc(there) == said, name


def test_every_exception_says_what_it_is() -> None:
    for name in memora_srs.__all__:
        made = getattr(memora_srs, name)
        if isinstance(made, type) and issubclass(made, Exception):
            assert made.__doc__, name
            assert issubclass(made, memora_srs.MemoraError), name
