"""The job that fills a season's cache, as the Frappe app has it."""

from __future__ import annotations

import os
from typing import Any

from memora_srs import SRSRedisManager


def run(season: str) -> Any:
    """Rebuild, one student at a time, so that progress can be seen."""
    schedules = SRSRedisManager(os.environ["SITE"], os.environ["SITES_PATH"])
    return schedules.rebuild_season_cache(season, batch_size=1)
