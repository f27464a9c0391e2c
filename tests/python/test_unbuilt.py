"""Parts that the engine does not have yet say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import memora_srs

SITE = ("site.test", "/nowhere")


@pytest.mark.parametrize(
    "call",
    [
        lambda: memora_srs.SRSReconciliationService(*SITE).reconcile_cache_with_database(100),
        lambda: memora_srs.SRSReconciliationService(*SITE).get_reconciliation_stats(),
    ],
)
def test_not_built_yet(call: Callable[[], object]) -> None:
    with pytest.raises(NotImplementedError, match="is not built yet in this version$"):
        call()
