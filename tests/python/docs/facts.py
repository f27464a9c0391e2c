"""What can be said of a command without running it: that what it names is there."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
from pathlib import Path

from docs.bench import PROGRAM
from docs.blocks import ROOT

# What a shell may put between one command and the next.
BETWEEN = re.compile(r"\s*(?:&&|\|\||;|\||\n|\$\()\s*")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r'src(?:set)?="([^"]+)"')
# A file of this repository, as the text names it.
FILE = re.compile(
    r"^(?:docs|deploy|tests|rust-core|sidecar|py-bindings|frappe_app|patches|benches|fuzz)/[\w./-]+\.\w+$"
)


def wrong(shell: str) -> list[str]:
    """What is wrong with the commands of ours in a piece of shell."""
    found: list[str] = []
    for command in BETWEEN.split(shell.replace("\\\n", " ")):
        command = re.sub(r"\s#\s.*", "", command.strip())
        for wrong_of in (_memora_srs, _make, _bench):
            found += wrong_of(command)
    return found


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()


def _memora_srs(command: str) -> list[str]:
    at = re.match(r"(?:sudo |docker compose exec \S+ |[\w.<>-]+/)*memora-srs (.*)", command)
    if not at:
        return []
    words, path, found = _words(at[1]), list[str](), list[str]()
    while (
        words and re.fullmatch(r"[a-z][a-z-]+", words[0]) and words[0] in subcommands(tuple(path))
    ):
        path.append(words.pop(0))
    if not path:
        if words and words[0] in ("--help", "--version", "<command>", "…"):
            return []
        return [f"memora-srs has no command {' '.join(words[:1])!r}: {command}"]
    if subcommands(tuple(path)) and words and re.fullmatch(r"[a-z][a-z-]+", words[0]):
        return [f"memora-srs {' '.join(path)} has no command {words[0]!r}: {command}"]
    known = flags(tuple(path))
    for word in words:
        flag = word.split("=")[0]
        if re.fullmatch(r"--[a-z-]+", flag) and flag not in known:
            found.append(f"memora-srs {' '.join(path)} has no {flag}: {command}")
    return found


@functools.cache
def help_of(path: tuple[str, ...]) -> str:
    """What `--help` of a command says."""
    asked = [str(PROGRAM), *path, "--help"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@functools.cache
def subcommands(path: tuple[str, ...]) -> set[str]:
    """The commands that a command has."""
    part = re.search(r"(?ms)^Commands:\n(.*?)\n\n", help_of(path))
    return set(re.findall(r"(?m)^  ([a-z][a-z-]+)", part[1])) if part else set()


@functools.cache
def flags(path: tuple[str, ...]) -> set[str]:
    """The options of a command; of a group those of all its commands."""
    found = set(re.findall(r"--[a-z][a-z-]+", help_of(path).split("\nExamples:")[0]))
    for name in subcommands(path) - {"help"}:
        found |= flags((*path, name))
    return found


def _make(command: str) -> list[str]:
    if not command.startswith("make "):
        return []
    targets = [word for word in _words(command)[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
    return [f"no target {target}: {command}" for target in targets if target not in make_targets()]


@functools.cache
def make_targets() -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))


def _bench(command: str) -> list[str]:
    at = re.search(r"\bbench\b.* execute (\S+)", command)
    return missing(at[1]) if at else []


def missing(dotted: str) -> list[str]:
    """Whether a dotted path of the app leads to something that can be called."""
    module, _, name = dotted.rpartition(".")
    file = ROOT / "frappe_app" / Path(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        return [f"no module {module}"]
    if name not in _names(file):
        return [f"{module} has no {name}"]
    return []


@functools.cache
def _names(file: Path) -> set[str]:
    """Functions and classes of a module."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, kinds)}


def broken_links(page: Path) -> list[str]:
    """Links of a page that lead nowhere: no such file, or no such heading in it."""
    found = []
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    for link in LINK.findall(text) + PICTURE.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists():
            found.append(f"{link}: no such file")
        elif heading and heading not in anchors(target):
            found.append(f"{link}: no such heading")
    return found


@functools.cache
def anchors(page: Path) -> set[str]:
    """Headings of a page, as links name them."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def missing_files(spans: list[str]) -> list[str]:
    """Files of this repository that the text names and that are not there."""
    return [span for span in spans if FILE.match(span) and not (ROOT / span).exists()]
