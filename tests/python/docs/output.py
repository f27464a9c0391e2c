"""Whether what a command printed is what its page says, whatever the time and the machine.

Times, durations, sizes, versions, ports and generated ids count as equal; counts and words do
not. `…` stands for anything within a line, and on a line of its own for any lines.
"""

from __future__ import annotations

import difflib
import re

ANY = "…"
VARYING = [
    (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|\+00:00)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d\b", "<time>"),
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "<id>"),
    (r"(?<![0-9a-f])([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-)?[0-9a-f]{12,}", "<id>"),
    (r"(127\.0\.0\.1|localhost):\d+(/\d+)?", r"\1:<port>"),
    (r"\b\d+\.\d+\.\d+[-\w.+~:]*", "<version>"),
    (r"\b\d+(\.\d+)? ?(ms|s|MiB|KiB|kB|GiB|bytes|seconds)\b", r"<n> \2"),
    (r"\b\d+ (questions|students)/s", r"<n> \1/s"),
    (r"\b\d+\.\d+\b", "<n>"),
    (r'("(?:pid|\w*bytes\w*|\w*_ms|seconds|\w*_s|\w*_mb|xp_\w+_at)": ?)\d+', r"\1<n>"),
]


def plain(text: str) -> str:
    """The text without what varies."""
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    lines = (re.sub(r" +", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def differs(said: str, printed: str) -> str | None:
    """How the output differs from what is said; None if it does not."""
    said, printed = plain(said), plain(printed)
    if said.startswith(("{", "[")):
        # JSON may stand on more lines than it came in.
        said, printed = re.sub(r"\s", "", said), re.sub(r"\s", "", printed)
        pattern = ".*?".join(re.escape(part) for part in said.split(ANY))
    else:
        pattern = "".join(map(_line, said.split("\n")))
        printed += "\n"
    if re.fullmatch(pattern, printed):
        return None
    return "\n".join(
        difflib.unified_diff(
            said.split("\n"), printed.split("\n"), "the page", "printed", lineterm=""
        )
    )


def _line(line: str) -> str:
    """A pattern for one line, or for any lines."""
    if line == ANY:
        return "(?:.*\n)*?"
    return ".*?".join(re.escape(part) for part in line.split(ANY)) + "\n"
