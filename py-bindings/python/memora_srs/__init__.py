"""The spaced repetition engine of Memora, for Python.

Redis sorted sets answer which questions a student is due to review, MariaDB is the record.
Each class stands for one site of a Frappe bench and takes its name and the bench's
``sites`` folder. Making one opens nothing: connections are made when a method first needs
them, are shared by all objects of the process, and belong to the process, so that forking
servers (gunicorn ``--preload``, RQ) may use the module before and after a fork.

Each method names the errors that are its own. Besides, whatever asks a server may raise
UnavailableError, and everything NotFoundError for a site that is not there and ConfigError for
one whose configuration is wrong.

This package never imports Frappe. ``docs/PYTHON.md`` in the repository tells the rest.
"""

from __future__ import annotations

from memora_srs._core import (
    Journal,
    Metrics,
    PartitionManager,
    Players,
    ReviewService,
    SafeModeManager,
    Schema,
    SRSArchiver,
    SRSPersistenceService,
    SRSReconciliationService,
    SRSRedisManager,
    __version__,
    schedule,
    xp_for_quality,
)
from memora_srs.exceptions import (
    ConfigError,
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidInputError,
    MaintenanceError,
    MemoraError,
    NotFoundError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)

__all__ = [
    "ConfigError",
    "ConflictError",
    "ForbiddenError",
    "InternalError",
    "InvalidInputError",
    "Journal",
    "MaintenanceError",
    "MemoraError",
    "Metrics",
    "NotFoundError",
    "PartitionManager",
    "Players",
    "RateLimitedError",
    "ReviewService",
    "SRSArchiver",
    "SRSPersistenceService",
    "SRSReconciliationService",
    "SRSRedisManager",
    "SafeModeManager",
    "Schema",
    "UnauthorizedError",
    "UnavailableError",
    "__version__",
    "schedule",
    "xp_for_quality",
]
