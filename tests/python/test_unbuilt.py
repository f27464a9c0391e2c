"""Parts that the engine does not have yet say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import memora_srs

SITE = ("site.test", "/nowhere")


@pytest.mark.parametrize(
    "call",
    [
        lambda: memora_srs.SRSArchiver(*SITE).archive_season("S"),
        lambda: memora_srs.SRSArchiver(*SITE).process_auto_archive(),
        lambda: memora_srs.SRSArchiver(*SITE).flag_eligible_for_deletion(),
        lambda: memora_srs.SRSArchiver(*SITE).get_archive_status("S"),
        lambda: memora_srs.SRSArchiver(*SITE).delete_eligible_records("S", confirm=True),
    ],
)
def test_not_built_yet(call: Callable[[], object]) -> None:
    with pytest.raises(NotImplementedError, match="is not built yet in this version$"):
        call()
