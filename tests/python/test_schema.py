"""`Schema` and `PartitionManager`: tables, migrated and partitioned."""

from __future__ import annotations

import pytest

from memora_srs import ConfigError, InvalidInputError, NotFoundError, PartitionManager, Schema
from stage import ANN, SEASON, TRACKER, Site, Stage, students


@pytest.fixture
def unmigrated(stage: Stage) -> Site:
    return stage.site(unmigrated=True, students=students(ANN))


def test_a_migration_is_planned_done_and_then_finds_nothing_to_do(unmigrated: Site) -> None:
    schema = Schema(*unmigrated.args)
    plan = schema.plan()
    assert not plan["is_empty"]
    assert "memora_srs_journal" in plan["tables_to_make"]
    assert plan["estimate_s"] > 0
    told: list[tuple[str, str, int, int]] = []
    report = schema.apply(lambda *news: told.append(news))
    assert report["changed"]
    assert report["elapsed_s"] > 0
    assert all(isinstance(news[0], str) and isinstance(news[2], int) for news in told)
    assert schema.plan()["is_empty"]
    for again in (schema.apply, schema.fix_null_seasons, schema.setup_partitioning):
        assert not again()["changed"]
    assert not schema.add_safe_mode_index()["changed"]


def test_an_error_in_the_progress_stops_the_migration_which_can_go_on(unmigrated: Site) -> None:
    # Enough rows for the rebuild to take longer than the time between two calls.
    unmigrated.sql(
        f"INSERT INTO {TRACKER} (name, player, season, question_id, stability)"  # noqa: S608
        f" SELECT CONCAT('x', seq), CONCAT('p', seq), %s, 'Q', 1 FROM seq_1_to_20000",
        SEASON,
    )
    schema = Schema(*unmigrated.args)

    def stop(*_news: object) -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        schema.apply(stop)
    assert schema.apply()["changed"]
    assert schema.plan()["is_empty"]


def test_partitions_are_made_once_and_described(site: Site) -> None:
    partitions = PartitionManager(*site.args)
    assert partitions.is_table_partitioned()
    assert not partitions.check_partition_exists("SEASON-2027 'x'")
    with pytest.raises(NotFoundError, match="^Season SEASON-2027 'x' does not exist$"):
        partitions.create_season_partition("SEASON-2027 'x'")
    # A hook inside the transaction that inserts the season.
    assert partitions.create_season_partition("SEASON-2027 'x'", note=False) is True
    site.sql(
        "INSERT INTO `tabGame Subscription Season` (name, season_name) VALUES (%s, %s)",
        "SEASON-2027 'x'",
        "SEASON-2027 'x'",
    )
    assert partitions.create_season_partition("SEASON-2027 'x'") is False
    noted = "SELECT partition_created FROM `tabGame Subscription Season` WHERE name LIKE '%%2027%%'"
    assert site.sql(noted) == [(1,)]
    assert partitions.check_partition_exists("season-2027 'X'"), "MariaDB folds case"
    all_of_them = partitions.get_all_partitions()
    assert {p["season"] for p in all_of_them} == {"SEASON-DEFAULT", SEASON, "SEASON-2027 'x'"}
    [stats] = partitions.get_partition_stats(SEASON)
    assert set(stats) == {"partition_name", "season", "rows", "data_bytes", "index_bytes"}
    assert (stats["season"], stats["rows"]) == (SEASON, 20)
    with pytest.raises(NotFoundError, match="^Season NONE does not exist$"):
        partitions.get_partition_stats("NONE")
    assert partitions.create_composite_index() is False


def test_a_table_that_is_not_migrated_has_no_partitions(unmigrated: Site) -> None:
    partitions = PartitionManager(*unmigrated.args)
    assert not partitions.is_table_partitioned()
    assert partitions.get_all_partitions() == []
    with pytest.raises(ConfigError, match="run the migration"):
        partitions.create_season_partition("S", note=False)
    assert partitions.create_composite_index() is True
    assert partitions.create_composite_index() is False
    [(columns,)] = unmigrated.sql(
        "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE()"
        " AND index_name = 'idx_pmt_player_season_review'"
    )
    assert columns == 3


def test_what_is_no_seasons_name_is_refused(site: Site) -> None:
    with pytest.raises(InvalidInputError, match="^season must not be empty$"):
        PartitionManager(*site.args).create_season_partition("")
