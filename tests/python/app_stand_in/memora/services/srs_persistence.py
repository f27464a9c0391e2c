"""The RQ job as the Frappe app has it: what the job carries goes to the module."""

from __future__ import annotations

import os
from typing import Any

from rq import get_current_job

from memora_srs import SRSPersistenceService


def persist_review_batch(
    responses: Any, user: str, season: str, retry_count: int = 0, **call: Any
) -> Any:
    """Apply one batch."""
    job = get_current_job()
    assert job
    service = SRSPersistenceService(os.environ["SITE"], os.environ["SITES_PATH"])
    return service.persist_review_batch(
        responses,
        user,
        season,
        retry_count,
        job_id=job.id,
        enqueued_at=job.enqueued_at,
        **call,
    )
