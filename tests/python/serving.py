"""A sidecar as a process of its own, and who may administer a site."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from stage import ROOT, Site

# Built with memora-stage; the very program, with failpoints.
PROGRAM = ROOT / "target/debug/memora-srs-failpoints"


@contextmanager
def sidecar(site: Site) -> Iterator[int]:
    """A sidecar for the site; its port."""
    arguments = [str(PROGRAM), "serve", "--sites-path", str(site.sites_path)]
    with subprocess.Popen(
        [*arguments, "--bind", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline().rsplit(":", 1)[1])
        finally:
            process.terminate()


def make_manager(site: Site, user: str) -> None:
    """Make a user a System Manager."""
    site.sql(
        "INSERT INTO `tabHas Role` (name, role, parent, parentfield, parenttype)"
        " VALUES (%s, 'System Manager', %s, 'roles', 'User')",
        f"role-{user}"[:140],
        user,
    )
