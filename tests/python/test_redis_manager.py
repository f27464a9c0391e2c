"""`SRSRedisManager`: schedules in Redis, by id and due time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
import redis

from forks import in_child
from memora_srs import InvalidInputError, NotFoundError, SRSRedisManager, UnavailableError
from stage import ANN, SEASON, Site

KEY = f"srs:{ANN}:{SEASON}"
HOUR = 3600.0
DUE = [f"STAGE-000:{i}" for i in range(5)]


def eventually(probe: Callable[[], object]) -> None:
    """Wait until it is true."""
    until = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def cached(schedules: SRSRedisManager) -> SRSRedisManager:
    """A service with Ann's schedule cached."""
    assert schedules.get_due_items_with_rehydration(ANN, SEASON) == (DUE, True)
    return schedules


def test_a_schedule_that_is_not_cached_is_filled_once(schedules: SRSRedisManager) -> None:
    assert schedules.get_due_items(ANN, SEASON) == []
    assert schedules.count_due_items(ANN, SEASON) == 0
    assert schedules.get_due_items_with_rehydration(ANN, SEASON, 2) == (DUE[:2], True)
    assert schedules.get_due_items_with_rehydration(ANN, SEASON, limit=2) == (DUE[:2], False)
    assert schedules.get_due_items(ANN, SEASON) == DUE
    assert schedules.count_due_items(ANN, SEASON) == 5


def test_scores_are_utc_epoch_seconds_and_hide_the_marker(
    cached: SRSRedisManager, site: Site
) -> None:
    scores = cached.get_all_scores(ANN, SEASON)
    there = {k: v for k, v in site.redis.zrange(KEY, 0, -1, withscores=True) if k[0] != "\0"}
    assert len(scores) == 20
    assert scores == there
    assert all(isinstance(score, float) for score in scores.values())


def test_items_are_set_and_removed(cached: SRSRedisManager, site: Site) -> None:
    soon = time.time() - HOUR
    assert cached.add_item(ANN, SEASON, "STAGE-001:9", soon) is True
    assert cached.add_item(ANN, SEASON, question_id=DUE[0], next_review_ts=int(soon + 2 * HOUR))
    assert cached.get_due_items(ANN, SEASON) == [*DUE[1:], "STAGE-001:9"]
    assert site.redis.zscore(KEY, "STAGE-001:9") == pytest.approx(soon, abs=1e-5)
    assert cached.remove_item(ANN, SEASON, "STAGE-001:9") is True
    assert cached.remove_item(ANN, SEASON, "STAGE-001:9") is False
    assert cached.count_due_items(ANN, SEASON) == 4


def test_a_batch_is_set_in_one_call(cached: SRSRedisManager) -> None:
    later = time.time() + HOUR
    assert cached.add_batch(ANN, SEASON, dict.fromkeys(DUE, later)) is True
    assert cached.get_due_items(ANN, SEASON) == []
    assert cached.add_batch(ANN, SEASON, {}) is True


def test_what_is_set_on_a_key_that_is_not_there_does_not_look_like_all(
    schedules: SRSRedisManager, site: Site
) -> None:
    soon = time.time() - HOUR
    assert schedules.add_item(ANN, SEASON, "STAGE-001:9", soon, ttl=60)
    assert 0 < site.redis.ttl(KEY) <= 60
    due, filled = schedules.get_due_items_with_rehydration(ANN, SEASON)
    assert filled
    assert sorted(due) == sorted([*DUE, "STAGE-001:9"]), "the item was kept, and is not all"


def test_a_schedule_is_cleared_with_its_companions(cached: SRSRedisManager, site: Site) -> None:
    assert cached.clear_user_cache(ANN, SEASON) is True
    assert not [key for key in site.redis.scan_iter() if ANN in key]
    assert cached.clear_user_cache(ANN, SEASON) is False


def test_the_size_of_a_schedule(cached: SRSRedisManager) -> None:
    stats = cached.get_cache_stats(ANN, SEASON)
    assert set(stats) == {"total_items", "due_items", "memory_usage_bytes"}
    assert (stats["total_items"], stats["due_items"]) == (20, 5)
    assert stats["memory_usage_bytes"] > 500
    empty = cached.get_cache_stats("nobody@example.com", SEASON)
    assert empty == {"total_items": 0, "due_items": 0, "memory_usage_bytes": 0}


def test_keys_have_the_sites_prefix_and_no_two_pairs_share_one(
    schedules: SRSRedisManager, site: Site
) -> None:
    assert schedules._make_key(ANN, SEASON) == KEY
    assert schedules._make_key("a:b", "c") == "srs:a%3Ab:c"
    site.set_config(srs_key_prefix="school.")
    assert SRSRedisManager(*site.args).redis_url() == site.cache_url


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.get_due_items(ANN, SEASON, 0), "limit must be between 1 and 10000"),
        (lambda m: m.get_due_items(ANN, SEASON, -1), "limit must be between 1 and 10000"),
        (lambda m: m.get_due_items("", SEASON), "user must not be empty"),
        (lambda m: m.count_due_items(ANN, " S"), "season must not begin or end with a blank"),
        (lambda m: m.add_item(ANN, SEASON, "\n", 1.0), "question_id must consist of printable"),
        (lambda m: m.add_item(ANN, SEASON, "Q", float("inf")), "next_review_ts of Q is no time"),
        (lambda m: m.add_batch(ANN, SEASON, {"Q": float("nan")}), "next_review_ts of Q is no time"),
        (lambda m: m.add_item(ANN, SEASON, "Q", 1.0, 0), "ttl must be 1 second to 100 years"),
        (lambda m: m.add_item(ANN, SEASON, "Q", 1.0, -5), "ttl must be 1 second to 100 years"),
        (lambda m: m.add_item(ANN, SEASON, "Q", 1.0, 10**16), "ttl must be 1 second to 100 years"),
    ],
)
def test_what_cannot_be_is_named(
    schedules: SRSRedisManager, call: Callable[[SRSRedisManager], object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}"):
        call(schedules)


def test_an_unknown_season_is_not_found(schedules: SRSRedisManager) -> None:
    with pytest.raises(NotFoundError, match="^Season NONE does not exist$"):
        schedules.get_due_items_with_rehydration(ANN, "NONE")


def test_redis_that_is_away_is_said_at_once_until_it_is_back(
    private: Site, freeze: Callable[[int], None]
) -> None:
    schedules = SRSRedisManager(*private.args)
    assert schedules.is_available() is True
    freeze(private.cache_pid)
    assert schedules.is_available() is False
    # Nobody waits for it any more: each by itself would, and all of them for a minute.
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(UnavailableError) as caught:
            schedules.get_due_items_with_rehydration(ANN, SEASON)
        assert caught.value.retry_after == 5.0
    assert time.monotonic() - started < 20
    os.kill(private.cache_pid, signal.SIGCONT)
    eventually(lambda: schedules.is_available() and is_believed(schedules))
    assert len(schedules.get_due_items_with_rehydration(ANN, SEASON)[0]) == 5


def test_a_season_is_rebuilt_looked_at_and_cleared(schedules: SRSRedisManager) -> None:
    assert schedules.get_rebuild_status(SEASON) is None
    told: list[tuple[str, int, int]] = []
    report = schedules.rebuild_season_cache(
        SEASON, progress=lambda *said: told.append(said), load=1
    )
    assert (report["total_users"], report["total_keys"], report["total_records"]) == (1, 1, 20)
    assert (report["status"], report["skipped"], report["left"]) == ("completed", 0, 0)
    # It rests long enough to be heard of.
    assert {(phase, total) for phase, _, total in told} == {("students", 1)}
    assert schedules.get_due_items(ANN, SEASON) == DUE
    status = schedules.get_cache_status()
    assert (status["redis_connected"], status["is_safe_mode"]) == (True, False)
    assert (status["total_keys"], status["keys_by_season"]) == (1, {SEASON: 1})
    again = schedules.rebuild_season_cache(season_name=SEASON, batch_size=1, missing_only=True)
    assert (again["total_keys"], again["skipped"]) == (0, 1)
    noted = schedules.get_rebuild_status(SEASON)
    assert noted is not None
    assert (noted["running"], noted["note"]["state"]) == (False, "completed")
    assert schedules.clear_season_cache(SEASON) == 1
    assert schedules.clear_season_cache(season_name=SEASON, progress=print) == 0
    assert schedules.get_cache_status()["total_keys"] == 0


def test_a_rebuild_is_refused_by_name_and_ended_by_its_callback(schedules: SRSRedisManager) -> None:
    with pytest.raises(NotFoundError, match="no such"):
        schedules.rebuild_season_cache("no such")
    for wrong in ({"load": 0}, {"load": 1000}, {"batch_size": -1}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            schedules.rebuild_season_cache(SEASON, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="season"):
        schedules.clear_season_cache("")

    def stop(phase: str, done: int, total: int) -> None:
        raise KeyError(phase)

    with pytest.raises(KeyError, match="students"):
        schedules.rebuild_season_cache(SEASON, progress=stop, load=1)
    eventually(lambda: schedules.rebuild_season_cache(SEASON)["total_users"] == 1)


def is_believed(schedules: SRSRedisManager) -> bool:
    """Whether what is cached may be shown again."""
    try:
        schedules.get_due_items(ANN, SEASON)
    except UnavailableError:
        return False
    return True


def note_as_dirty(site: Site) -> redis.Redis:
    """Have the cache lack something, and note it as a process does that could not write it."""
    schedules = SRSRedisManager(*site.args)
    eventually(lambda: len(schedules.get_due_items_with_rehydration(ANN, SEASON)[0]) == 5)
    eventually(lambda: schedules.count_due_items(ANN, SEASON) == 5)
    # Past the engine: the schedule still counts as complete.
    question = schedules.get_due_items(ANN, SEASON)[0]
    assert site.redis.zrem(schedules._make_key(ANN, SEASON), question) == 1
    assert len(schedules.get_due_items(ANN, SEASON)) == 4
    queue = redis.Redis.from_url(site.queue_url, decode_responses=True)
    fields = {f"{ANN}\0{SEASON}": "mark", "": f"state-{time.time()}"}
    queue.hset(f"rq:memora:dirty:{site.name}", mapping=fields)
    return queue


def test_a_student_whom_another_process_noted_is_answered_by_the_table(site: Site) -> None:
    queue = note_as_dirty(site)
    schedules = SRSRedisManager(*site.args)
    eventually(lambda: schedules.get_due_items_with_rehydration(ANN, SEASON)[0] == DUE)
    # Made good while nothing but these calls keeps the process busy.
    eventually(lambda: not queue.exists(f"rq:memora:dirty:{site.name}"))
    assert schedules.get_due_items_with_rehydration(ANN, SEASON)[0] == DUE


def test_a_process_that_is_new_looks_before_its_first_read(site: Site) -> None:
    note_as_dirty(site)
    schedules = SRSRedisManager(*site.args)
    assert in_child(lambda: len(schedules.get_due_items_with_rehydration(ANN, SEASON)[0])) == 5
