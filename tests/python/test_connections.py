"""A process has two connections to MariaDB and one to each Redis at most, made when needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import redis

from forks import in_child
from memora_srs import ReviewService, SRSRedisManager
from stage import ANN, SEASON, Site


def connections(site: Site) -> tuple[int, int]:
    """Connections that the server of the site's database and its cache Redis count."""
    [(mariadb,)] = site.sql(
        "SELECT COUNT(*) FROM information_schema.processlist"
        " WHERE user = CURRENT_USER() OR user = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
    )
    database = site.cache_url.rsplit("/", 1)[1]
    with redis.Redis.from_url(site.cache_url) as client:
        clients = [c for c in client.client_list() if c["db"] == database]
    return mariadb, len(clients)


def test_connections_are_few_and_made_when_needed(site: Site) -> None:
    def child() -> list[tuple[int, int]]:
        reviews, schedules = ReviewService(*site.args), SRSRedisManager(*site.args)
        counts = [connections(site)]
        schedules.is_available()
        counts.append(connections(site))

        def ask(_: int) -> None:
            reviews.get_review_session(ANN)
            reviews.get_reviews_safe_mode(ANN, SEASON)
            reviews.submit_review_session(ANN, [{"question_id": "STAGE-000:0", "quality": 2}])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(64)))
        counts.append(connections(site))
        return counts

    others = connections(site)
    made = [(mariadb - others[0], cache - others[1]) for mariadb, cache in in_child(child)]
    assert made[0] == (0, 0)
    assert made[1] == (0, 1)
    assert made[2] in ((1, 1), (2, 1))
