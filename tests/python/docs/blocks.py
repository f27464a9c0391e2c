"""Fenced blocks of a page, and what the comments directly above them tell the test.

| comment | meaning |
|---|---|
| `<!-- not run: why -->` | the block is not run, for this reason |
| `<!-- scene: name -->` | before the block, something happens: a method of `scenes.Scenes` |
| `<!-- stays -->` | the block's programs go on until the page ends |
| `<!-- prints -->` | this is what the block before it prints |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

# What a reader copies into a shell, or Python.
RUNNABLE = ("sh", "console", "python", "pycon")
ROOT = Path(__file__).parents[3]
FENCE = re.compile(r"^( *)```(.*)$")
COMMENT = re.compile(r"<!-- (not run|scene|stays|prints)(?:: (.+))? -->")


@dataclass
class Block:
    """A block, and where it is."""

    page: Path
    line: int
    language: str
    text: str
    indent: str
    excuse: str | None = None
    scenes: list[str] = field(default_factory=list)
    stays: bool = False
    prints: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is run."""
        return self.language in RUNNABLE and self.excuse is None

    def commands(self) -> list[tuple[str, str]]:
        """Commands of a console block, each with what it prints."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif found and not found[-1][1] and found[-1][0][-1].endswith("\\"):
                found[-1][0].append(line.removeprefix("> "))
            else:
                assert found, f"{self}: a console block begins with a command"
                found[-1][1].append(line)
        return [("\n".join(command), "\n".join(output)) for command, output in found]

    def shell(self) -> str:
        """The block's commands alone."""
        if self.language == "console":
            return "\n".join(command for command, _ in self.commands())
        return self.text


def pages() -> list[Path]:
    """Every page that a user, an operator or a contributor reads."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    app = [ROOT / "frappe_app/README.md", ROOT / "frappe_app/memora/api/README.md"]
    beside = [*app, ROOT / "patches/README.md"]
    return [*top, *beside, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    at = 0
    while at < len(lines):
        opened = FENCE.match(lines[at])
        if not opened:
            at += 1
            continue
        indent, language = opened.groups()
        end = at + 1
        while lines[end].strip() != "```":
            end += 1
        text = "\n".join(line.removeprefix(indent) for line in lines[at + 1 : end])
        block = Block(page, at + 1, language.strip(), text, indent)
        for note, value in notes_above(lines, at):
            match note:
                case "not run":
                    block.excuse = value
                case "scene":
                    block.scenes.insert(0, value)
                case "stays":
                    block.stays = True
                case _:
                    block.prints = True
        found.append(block)
        at = end + 1
    return found


def notes_above(lines: list[str], at: int) -> list[tuple[str, str]]:
    """Comments for the test directly above a line, the nearest first."""
    found = []
    while at > 0:
        at -= 1
        note = COMMENT.fullmatch(lines[at].strip())
        if note:
            found.append((note[1], note[2] or ""))
        elif lines[at].strip():
            break
    return found


def spans(page: Path) -> list[str]:
    """What stands in code spans of the text, tables included."""
    outside = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())
    return re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", outside)
