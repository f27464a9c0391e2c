"""`Players`: Users renamed, merged and deleted, rows edited by hand."""

from __future__ import annotations

import pymysql
import pytest

from memora_srs import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    Players,
    ReviewService,
    SRSRedisManager,
)
from stage import ANN, BOB, SEASON, Site, Stage, students

NEW = "anna@example.com"
ANSWER = [{"question_id": "STAGE-000:0", "quality": 4}]


@pytest.fixture
def players(site: Site) -> Players:
    return Players(*site.args)


def test_an_edit_by_hand_shows_after_the_schedule_is_dropped(
    players: Players, reviews: ReviewService, site: Site
) -> None:
    SRSRedisManager(*site.args).get_due_items_with_rehydration(ANN, SEASON)
    site.sql(
        "DELETE FROM `tabPlayer Memory Tracker` WHERE player = %s AND question_id = 'STAGE-000:0'",
        ANN,
    )
    assert reviews.get_review_session(ANN)["total_due"] == 5
    assert players.invalidate(ANN, SEASON) is True
    assert reviews.get_review_session(ANN)["total_due"] == 4


def test_what_is_ours_follows_a_renamed_user(
    players: Players, reviews: ReviewService, site: Site
) -> None:
    reviews.submit_review_session(ANN, ANSWER, "s-1")
    players.check_rename()
    with pytest.raises(ConflictError):
        players.rename(ANN, NEW)
    site.sql("UPDATE tabUser SET name = %s WHERE name = %s", NEW, ANN)
    site.sql("UPDATE `tabPlayer Memory Tracker` SET player = %s WHERE player = %s", NEW, ANN)
    moved = players.rename(ANN, NEW)
    assert (moved["journal_rows"], moved["tracker_rows"]) == (1, 0)
    assert set(moved) == {
        "tracker_rows",
        "archived_rows",
        "journal_rows",
        "audit_rows",
        "log_rows",
        "cache_keys",
    }
    assert reviews.get_review_session(NEW)["total_due"] == 4, "the submit that was on its way"
    assert players.rename(ANN, NEW)["journal_rows"] == 0


def test_a_merge_keeps_the_newer_state_of_each_question(stage: Stage) -> None:
    site = stage.site(students=students(ANN, BOB))
    players = Players(*site.args)
    statements = players.merge_rows(ANN, BOB)
    assert statements
    connection = pymysql.connect(
        host="127.0.0.1",
        port=site.db_port,
        user=site.db_name,
        password=site.config()["db_password"],
        database=site.db_name,
    )
    with connection, connection.cursor() as cursor:
        for sql, parameters in statements:
            cursor.execute(sql, parameters)
        cursor.execute(
            "UPDATE `tabPlayer Memory Tracker` SET player = %s WHERE player = %s", (BOB, ANN)
        )
        cursor.execute("DELETE FROM tabUser WHERE name = %s", (ANN,))
        connection.commit()
    players.remove(ANN)
    rows = "SELECT player, COUNT(*) FROM `tabPlayer Memory Tracker` GROUP BY player"
    assert site.sql(rows) == [(BOB, 20)]


def test_a_deleted_user_leaves_no_answers(
    players: Players, reviews: ReviewService, site: Site
) -> None:
    reviews.submit_review_session(ANN, ANSWER, "s-1")
    with pytest.raises(ConflictError):
        players.remove(ANN)
    site.sql("DELETE FROM tabUser WHERE name = %s", ANN)
    removed = players.remove(ANN)
    assert removed["journal_rows"] == 1
    assert "STAGE-000:0" not in str(site.sql("SELECT payload FROM memora_srs_journal"))


def test_names_are_checked(players: Players) -> None:
    with pytest.raises(InvalidInputError, match="^user must not be empty$"):
        players.invalidate("", SEASON)
    with pytest.raises(InvalidInputError, match="^user must not be empty$"):
        players.rename(ANN, "")
    with pytest.raises(NotFoundError, match="nobody"):
        players.rename("gone@example.com", "nobody@example.com")
