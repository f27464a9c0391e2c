"""`Players`: Users renamed and deleted, rows edited by hand."""

from __future__ import annotations

import pytest

from memora_srs import InvalidInputError, Players, ReviewService, SRSRedisManager
from stage import ANN, SEASON, Site


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


def test_names_are_checked(players: Players) -> None:
    with pytest.raises(InvalidInputError, match="^user must not be empty$"):
        players.invalidate("", SEASON)
    with pytest.raises(InvalidInputError, match="^user must not be empty$"):
        players.rename(ANN, "")
