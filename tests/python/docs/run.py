"""A page, run from top to bottom on a bench of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from docs import output
from docs.bench import Bench, bench
from docs.blocks import Block
from docs.scenes import Scenes
from stage import Site

UPDATE = "MEMORA_UPDATE_DOCS" in os.environ


def run(page: Path, blocks: list[Block], site: Site, folder: Path) -> list[str]:
    """Run the page's blocks; what is wrong with it."""
    with bench(site, folder) as made:
        running = Run(page, blocks, made)
        for block in blocks:
            running.block(block)
        running.interactive()
        if UPDATE:
            running.update()
        return running.complaints


class Run:
    """A page from top to bottom on one bench."""

    def __init__(self, page: Path, blocks: list[Block], bench: Bench) -> None:
        self.page, self.blocks = page, blocks
        self.bench, self.scenes = bench, Scenes(bench)
        self.complaints: list[str] = []
        self.said = ""
        # Of blocks that said something else, for an update.
        self.printed: list[tuple[Block, list[str]]] = []

    def block(self, block: Block) -> None:
        """Run a block and compare."""
        for scene in block.scenes:
            self.scenes.play(scene)
        if block.prints:
            self.compare(block, block.text, self.said)
        elif not block.runs:
            return
        elif block.stays:
            for command in block.text.splitlines():
                self.bench.start(command)
        elif block.language == "python":
            code, self.said = self.bench.python(block.text)
            self.exit(block, code, 0, self.said)
        elif block.language == "sh":
            [(code, self.said)] = self.bench.shell([f"( set -eu\n{block.text}\n)"])
            self.exit(block, code, 0, self.said)
        elif block.language == "console":
            self.console(block)

    def console(self, block: Block) -> None:
        """Run commands, each with what it prints."""
        commands = block.commands()
        ran = self.bench.shell([command for command, _ in commands])
        complaints = len(self.complaints)
        transcript = []
        for (command, said), (code, printed) in zip(commands, ran, strict=True):
            expected = re.search(r"# exit code (\d+)", command)
            self.exit(block, code, int(expected[1]) if expected else 0, f"$ {command}\n{printed}")
            self.compare(block, said, printed)
            transcript += [f"$ {command}", *printed.splitlines()]
        if len(self.complaints) > complaints:
            self.printed.append((block, transcript))

    def exit(self, block: Block, code: int, expected: int, said: str) -> None:
        """Complain of a wrong exit code."""
        if code != expected:
            self.complaints.append(f"{block}: exit code {code}\n{said}")

    def compare(self, block: Block, said: str, printed: str) -> None:
        """Complain of wrong output."""
        if how := output.differs(said, printed):
            self.complaints.append(f"{block}: printed something else\n{how}")

    def interactive(self) -> None:
        """Type what stands at Python's prompt, in one session for the page."""
        mine = [block for block in self.blocks if block.runs and block.language == "pycon"]
        if not mine:
            return
        # Each line where the page has it, so that a failure names the page's line.
        lines = [""] * len(self.page.read_text().splitlines())
        for block in mine:
            for number, line in enumerate(block.text.splitlines(), block.line):
                lines[number] = line
        session = self.bench.folder / self.page.name
        session.write_text(self.bench.here("\n".join(lines)))
        options = ["-o", "ELLIPSIS", "-o", "NORMALIZE_WHITESPACE"]
        code, said = self.bench.python("", "-m", "doctest", *options, str(session))
        self.exit(mine[0], code, 0, said)

    def update(self) -> None:
        """Write what was printed into the page."""
        lines = self.page.read_text().splitlines()
        for block, printed in reversed(self.printed):
            end = block.line + len(block.text.splitlines())
            lines[block.line : end] = [(block.indent + line).rstrip() for line in printed]
        self.page.write_text("\n".join(lines) + "\n")
