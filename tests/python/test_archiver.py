"""`SRSArchiver`: a season goes into the archive and comes back; retention."""

from __future__ import annotations

import pytest

from memora_srs import (
    InvalidInputError,
    NotFoundError,
    ReviewService,
    SRSArchiver,
)
from stage import ANN, SEASON, TRACKER, Site

ARCHIVE = "`tabArchived Memory Tracker`"


def close(site: Site) -> None:
    """Close the season, long enough ago for everybody to know."""
    site.sql(
        "UPDATE `tabGame Subscription Season` SET is_active = 0, auto_archive = 1,"
        " modified = '2026-01-01', end_date = '2026-01-01' WHERE name = %s",
        SEASON,
    )


@pytest.mark.parametrize("method", ["convert", "copy", None])
def test_a_season_is_archived_looked_at_and_restored(site: Site, method: str | None) -> None:
    archiver = SRSArchiver(*site.args)
    assert archiver.get_archive_status(SEASON)["state"] == "active"
    with pytest.raises(InvalidInputError, match="^Season SEASON-2026 is active"):
        archiver.archive_season(SEASON)
    close(site)
    plan = archiver.plan_archive(SEASON, method=method)
    assert (plan["rows"], plan["problems"]) == (20, [])
    assert plan["method"] == (method or "convert")
    told: list[tuple[str, int, int]] = []
    report = archiver.archive_season(
        SEASON, method=method, progress=lambda *said: told.append(said)
    )
    assert (report["status"], report["records_archived"]) == ("completed", 20)
    assert all(isinstance(phase, str) and isinstance(total, int) for phase, _, total in told)
    status = archiver.get_archive_status(season_name=SEASON)
    assert (status["state"], status["records_archived"]) == ("archived", 20)
    assert site.sql(f"SELECT COUNT(*) FROM {TRACKER}") == [(0,)]  # noqa: S608
    with pytest.raises(InvalidInputError, match="is archived$"):
        ReviewService(*site.args).get_review_session(ANN, season=SEASON)
    page = archiver.get_archived_schedule(ANN, SEASON, limit=15)
    rest = archiver.get_archived_schedule(ANN, SEASON, after=page[-1]["question_id"])
    assert (len(page), len(rest)) == (15, 5)
    assert archiver.restore_season(SEASON)["records_restored"] == 20
    assert site.sql(f"SELECT COUNT(*) FROM {TRACKER}") == [(20,)]  # noqa: S608
    assert archiver.get_archive_status(SEASON)["state"] == "inactive"


def test_what_cannot_be_is_refused(site: Site) -> None:
    archiver = SRSArchiver(*site.args)
    with pytest.raises(NotFoundError, match="^Season no such does not exist$"):
        archiver.archive_season("no such")
    with pytest.raises(NotFoundError):
        archiver.get_archive_status("no such")
    with pytest.raises(InvalidInputError, match="^method must be convert or copy$"):
        archiver.archive_season(SEASON, method="move")
    with pytest.raises(InvalidInputError, match="is not archived$"):
        archiver.restore_season(SEASON)
    with pytest.raises(InvalidInputError, match="^limit must be 1 to 1000$"):
        archiver.get_archived_schedule(ANN, SEASON, limit=0)
    with pytest.raises(InvalidInputError, match="^confirm"):
        archiver.delete_eligible_records()


def test_seasons_that_are_over_are_archived_flagged_and_deleted(site: Site) -> None:
    archiver = SRSArchiver(*site.args)
    close(site)
    report = archiver.process_auto_archive(progress=lambda *_: None)
    assert report == {"archived": [SEASON], "skipped": [], "failed": [], "late_merged": 0}
    assert archiver.process_auto_archive()["archived"] == []
    assert archiver.flag_eligible_for_deletion() == {"flagged_count": 0}
    site.sql(f"UPDATE {ARCHIVE} SET archived_at = '2020-01-01' LIMIT 7")  # noqa: S608
    assert archiver.flag_eligible_for_deletion() == {"flagged_count": 7}
    assert archiver.count_eligible_records(SEASON) == 7
    assert archiver.delete_eligible_records(SEASON, confirm=True) == {"deleted_count": 7}
    assert archiver.get_archive_status(SEASON)["records_archived"] == 13
