"""What can go wrong, as exceptions under one base.

The engine says what kind of trouble it met; ``py-bindings/src/error.rs`` is the one place
that chooses the class. The message is a sentence for the person who asked: it names the
field and holds no secret.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "ConflictError",
    "ForbiddenError",
    "InternalError",
    "InvalidInputError",
    "MaintenanceError",
    "MemoraError",
    "NotFoundError",
    "RateLimitedError",
    "UnauthorizedError",
    "UnavailableError",
]


class MemoraError(Exception):
    """Base of all errors of the engine.

    ``retry_after``: seconds after which repeating makes sense, or None.
    ``submission_id``: of a submit that could not be confirmed, the id to repeat it with
    (it then has one effect, whatever happened the first time), or None.
    """

    retry_after: float | None
    submission_id: str | None

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        submission_id: str | None = None,
    ) -> None:
        """Make an error with a sentence for the person who asked."""
        super().__init__(message)
        self.retry_after = retry_after
        self.submission_id = submission_id


class InvalidInputError(MemoraError, ValueError):
    """The request is wrong and changed nothing; the message names the field."""


class UnauthorizedError(MemoraError, PermissionError):
    """Credentials were given and are wrong."""


class ForbiddenError(MemoraError, PermissionError):
    """The user may not do this."""


class NotFoundError(MemoraError, LookupError):
    """A named thing (site, season, table) does not exist."""


class ConflictError(MemoraError):
    """The submission id was used for other answers, or something else is in the way."""


class RateLimitedError(MemoraError):
    """Too many requests; ``retry_after`` says when to come back."""


class MaintenanceError(MemoraError):
    """The site is in maintenance."""


class UnavailableError(MemoraError, ConnectionError):
    """Redis or MariaDB is away, too slow or too busy; worth repeating after ``retry_after``."""


class ConfigError(MemoraError):
    """A configuration file or option is wrong; the message names both."""


class InternalError(MemoraError):
    """A defect, or an answer that no server should give."""
