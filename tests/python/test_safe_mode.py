"""`SafeModeManager`, and what a student meets while Redis is away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import memora_srs
from memora_srs import RateLimitedError, ReviewService, SafeModeManager, UnavailableError
from stage import ANN, BOB, Site, Stage, students


@pytest.fixture
def limits(site: Site) -> SafeModeManager:
    """The limits of `site`."""
    return SafeModeManager(*site.args)


def test_the_defaults_are_known_without_a_site() -> None:
    assert SafeModeManager.GLOBAL_LIMIT == 500
    assert SafeModeManager.USER_LIMIT_SECONDS == 30


def test_a_student_may_ask_once_and_others_still_may(limits: SafeModeManager) -> None:
    assert limits.is_safe_mode_active() is False
    assert limits.get_user_last_request(ANN) is None
    before = time.time()
    assert [limits.check_rate_limit(user) for user in (ANN, ANN, BOB)] == [True, False, True]
    assert limits.get_global_request_count() == 2
    last = limits.get_user_last_request(ANN)
    assert last is not None
    assert before - 1 < last < time.time() + 1
    limits.reset_user_rate_limit(ANN)
    assert limits.get_user_last_request(ANN) is None
    assert limits.check_rate_limit(ANN) is True
    limits.reset_global_rate_limit()
    assert limits.get_global_request_count() == 0


def test_all_together_are_limited_as_the_site_says(limits: SafeModeManager, site: Site) -> None:
    site.set_config(srs_safe_mode_global_limit=2)
    users = [f"user{n}@example.com" for n in range(3)]
    assert [limits.check_rate_limit(user) for user in users] == [True, True, False]
    limits.reset_global_rate_limit()
    assert limits.check_rate_limit(users[2]) is True


def test_processes_count_together_and_a_fork_does_too(site: Site, limits: SafeModeManager) -> None:
    assert limits.check_rate_limit(ANN)
    program = (
        "import memora_srs, sys\n"
        "limits = memora_srs.SafeModeManager(sys.argv[1], sys.argv[2])\n"
        "print([limits.check_rate_limit(user) for user in sys.argv[3:]])"
    )
    command = [sys.executable, "-c", program, site.name, str(site.sites_path), ANN, BOB]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "[False, True]\n"
    child = os.fork()
    if not child:
        os._exit(int(limits.check_rate_limit(BOB)))
    assert os.waitpid(child, 0)[1] == 0
    assert limits.get_global_request_count() == 2


def test_while_redis_is_away_reads_are_degraded_and_limited(
    stage: Stage, freeze: Callable[[int], None]
) -> None:
    site = stage.site(own_servers=True, students=students(ANN, BOB))
    reviews, limits = ReviewService(*site.args), SafeModeManager(*site.args)
    reviews.get_review_session(ANN)
    freeze(site.cache_pid)
    assert limits.is_safe_mode_active() is True
    session = reviews.get_review_session(ANN)
    assert (session["is_degraded"], session["total_due"]) == (True, 5)
    with pytest.raises(
        RateLimitedError, match=r"^Too many requests: please wait \d+ seconds"
    ) as raised:
        reviews.get_review_session(ANN)
    wait = raised.value.retry_after
    assert wait is not None
    assert 0 < wait <= 30
    assert f"please wait {wait:.0f} seconds" in str(raised.value)
    assert reviews.get_review_session(BOB)["is_degraded"] is True
    answers = [{"question_id": "STAGE-000:0", "quality": 4}]
    for n in range(2):
        assert reviews.submit_review_session(ANN, answers, f"s-{n}")["is_degraded"] is True
    limits.reset_user_rate_limit(ANN)
    assert reviews.get_review_session(ANN)["is_degraded"] is True


def test_what_cannot_be_reset_everywhere_says_so(
    stage: Stage, freeze: Callable[[int], None]
) -> None:
    site = stage.site(own_servers=True, students=students(ANN))
    limits = SafeModeManager(*site.args)
    assert limits.check_rate_limit(ANN)
    freeze(site.queue_pid)
    # This host alone counts now, and goes on where it was.
    assert not limits.check_rate_limit(ANN)
    with pytest.raises(UnavailableError, match="only this host"):
        limits.reset_user_rate_limit(ANN)
    assert limits.check_rate_limit(ANN)


def test_a_name_that_cannot_be_is_refused(limits: SafeModeManager) -> None:
    with pytest.raises(memora_srs.InvalidInputError, match="^user must not be empty$"):
        limits.check_rate_limit("")
