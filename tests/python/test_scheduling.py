"""The scheduler's functions."""

from __future__ import annotations

import pytest

from memora_srs import ConfigError, InvalidInputError, schedule, xp_for_quality

NOW = 1_800_000_000.0
DAY = 86_400


def test_a_remembered_question_comes_later_and_a_lapse_soon() -> None:
    good = schedule(2.0, 4, now=NOW, due=NOW, last_review=NOW - 3 * DAY)
    assert good == {"stability": 3.0, "due": NOW + 7 * DAY}
    lapse = schedule(2.0, 1, now=NOW)
    assert lapse["stability"] < 2
    assert NOW < lapse["due"] < good["due"]
    assert schedule(None, 5, now=NOW)["due"] > NOW
    fast = schedule(1.0, 4, now=NOW, response_time_ms=500)
    assert fast["stability"] > schedule(1.0, 4, now=NOW, response_time_ms=9000)["stability"]


def test_parameters_are_those_of_the_sites_configuration() -> None:
    longer = {"name": "sm2", "interval_days": [2, 6, 14, 28]}
    assert schedule(2.0, 4, now=NOW, parameters=longer)["due"] == NOW + 14 * DAY
    with pytest.raises(ConfigError, match=r"^srs_scheduler\.name"):
        schedule(2.0, 4, now=NOW, parameters={"name": "fsrs"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"quality": 6}, "quality must be an integer between 0 and 5"),
        ({"quality": -1}, "quality must be an integer between 0 and 5"),
        ({"stability": 4.5}, "stability must be between 0 and 4"),
        ({"stability": float("nan")}, "stability must be between 0 and 4"),
        ({"now": float("inf")}, "now must be a time in UTC epoch seconds"),
        ({"response_time_ms": -1}, "response_time_ms must be an integer of at least 0"),
    ],
)
def test_what_is_out_of_range_is_named(wrong: dict[str, float], message: str) -> None:
    arguments = {"stability": 2.0, "quality": 4, "now": NOW} | wrong
    with pytest.raises(InvalidInputError, match=f"^{message}$"):
        schedule(**arguments)  # type: ignore[arg-type]


def test_xp() -> None:
    assert [xp_for_quality(q) for q in range(6)] == [0, 2, 5, 15, 20, 25]
    assert xp_for_quality(5, {"5": 50}) == 50
    assert xp_for_quality(1, [0, 7, 0, 0, 0, 0]) == 7
    with pytest.raises(InvalidInputError, match="^quality"):
        xp_for_quality(6)
