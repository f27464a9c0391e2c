"""`SRSReconciliationService`: whether cache and table agree."""

from __future__ import annotations

import pytest

from memora_srs import InvalidInputError, NotFoundError, SRSReconciliationService, SRSRedisManager
from stage import ANN, SEASON, Site


@pytest.fixture
def reconciliation(site: Site, schedules: SRSRedisManager) -> SRSReconciliationService:
    """The service, with Ann's 20 questions cached."""
    assert schedules.get_due_items_with_rehydration(ANN, SEASON)[1]
    return SRSReconciliationService(*site.args)


def test_a_clean_cache(reconciliation: SRSReconciliationService) -> None:
    seen: list[tuple[str, int, int]] = []
    report = reconciliation.reconcile_cache_with_database(
        100, season=SEASON, progress=lambda *news: seen.append(news)
    )
    assert (report["sample_size"], report["compared"], report["students"]) == (100, 20, 1)
    assert (report["discrepancies_found"], report["discrepancy_rate"]) == (0, 0.0)
    assert report["alert_triggered"] is False
    assert report["season"] == SEASON
    assert all(phase == "items" and done <= total for phase, done, total in seen)


def test_what_is_wrong_is_corrected_and_remembered(
    reconciliation: SRSReconciliationService, schedules: SRSRedisManager
) -> None:
    assert schedules.remove_item(ANN, SEASON, "STAGE-000:0")
    assert schedules.add_item(ANN, SEASON, "no-such", 1.0)
    dry = reconciliation.reconcile_cache_with_database(dry_run=True)
    assert (dry["discrepancies_found"], dry["auto_corrected"]) == (2, 0)
    report = reconciliation.reconcile_all(student=ANN)
    assert (report["missing"], report["ghosts"], report["auto_corrected"]) == (1, 1, 2)
    assert report["kinds"]["missing"] == 1
    assert "STAGE-000:0" in schedules.get_due_items(ANN, SEASON)
    assert reconciliation.reconcile_all()["discrepancies_found"] == 0
    runs = reconciliation.get_reconciliation_stats()
    assert [run["discrepancies_found"] for run in runs] == [2, 2, 0]
    assert runs[1] == report


def test_what_cannot_be(reconciliation: SRSReconciliationService) -> None:
    for size in (0, -1, 100_001):
        with pytest.raises(InvalidInputError, match="sample_size"):
            reconciliation.reconcile_cache_with_database(size)
    with pytest.raises(NotFoundError):
        reconciliation.reconcile_cache_with_database(100, "no such")
    with pytest.raises(NotFoundError):
        reconciliation.reconcile_all(student="nobody@example.com")
