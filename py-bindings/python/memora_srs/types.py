"""Shapes of the dictionaries that the engine takes and gives."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = [
    "ArchivePlan",
    "ArchiveProgress",
    "ArchiveReport",
    "ArchiveStatus",
    "ArchivedQuestion",
    "AutoArchiveFailure",
    "AutoArchiveReport",
    "CacheStats",
    "CacheStatus",
    "Deleted",
    "DueQuestion",
    "Flagged",
    "JournalBacklog",
    "JournalChange",
    "JournalEntry",
    "JournalRow",
    "LatencySummary",
    "LongWork",
    "MigrationPlan",
    "MigrationReport",
    "OperationNow",
    "Partition",
    "PersistResult",
    "PersistenceStatus",
    "PlayerMoved",
    "PlayerRemoved",
    "PoolUse",
    "Problem",
    "Purged",
    "Readiness",
    "RebuildNote",
    "RebuildReport",
    "RebuildStatus",
    "ReconciliationKinds",
    "ReconciliationReport",
    "RedisMemory",
    "RedisNow",
    "RestoreReport",
    "ReviewSession",
    "Schedule",
    "SiteNow",
    "Snapshot",
    "SubmitAnswer",
    "TableMigration",
    "TablePlan",
    "WorkStanding",
]


class ArchivePlan(TypedDict):
    """What archiving a season would do."""

    season: str
    method: str
    """``convert``, ``copy``, or ``merge`` into rows that the archive has already."""
    rows: int
    archived_rows: int
    """Rows of the season that the archive has already."""
    resumes_at: str | None
    """Where an earlier run stopped, which this one would take up."""
    estimate_s: float
    """Roughly how long it takes, in seconds."""
    problems: list[str]
    """What forbids it, each with its remedy."""


class ArchiveReport(TypedDict):
    """What archiving a season came to."""

    season: str
    status: str
    """``completed``."""
    records_archived: int
    cache_keys_deleted: int
    """Cached schedules that were dropped."""
    method: str
    late_merged: int
    """Rows that were written for the season while it was archived, or after."""
    was_archived: bool
    """Whether it was archived before, so that only late rows were looked for."""
    resumed: bool
    """Whether this took up a run that had been stopped."""
    seconds: float


class ArchiveProgress(TypedDict):
    """How far rows are that move."""

    phase: str
    done: int
    total: int
    running: bool
    """Whether somebody is at it; else it was stopped, and goes on when it is called again."""
    failure: str | None
    """Why it cannot go on."""
    noted_at: str
    """UTC, ISO 8601 without an offset."""


class ArchiveStatus(TypedDict):
    """Where the archiving of a season stands."""

    season: str
    state: str
    """``active``, ``inactive``, ``archiving``, ``archived`` or ``restoring``."""
    records_archived: int
    archived_at: str | None
    """Site wall time, ISO 8601."""
    progress: ArchiveProgress | None
    """There while rows are moving."""
    eligible_for_deletion: int
    """Archived rows that may be deleted."""


class ArchivedQuestion(TypedDict):
    """A question as it was when its season was archived. Times: site wall time, ISO 8601."""

    question_id: str
    stability: float
    next_review_date: str | None
    last_review_date: str | None
    subject: str | None
    topic: str | None
    archived_at: str | None
    eligible_for_deletion: bool


class AutoArchiveFailure(TypedDict):
    """A season that could not be archived."""

    season: str
    error: str


class AutoArchiveReport(TypedDict):
    """What archiving without being asked came to."""

    archived: list[str]
    skipped: list[str]
    """Seasons that ask for it and are active, or not over, or that somebody is at."""
    failed: list[AutoArchiveFailure]
    late_merged: int
    """Rows written late for seasons archived before, that were merged."""


class RestoreReport(TypedDict):
    """What restoring a season came to."""

    season: str
    status: str
    """``restored``."""
    records_restored: int
    cache_keys_deleted: int
    resumed: bool
    seconds: float


class Flagged(TypedDict):
    """What flagging came to."""

    flagged_count: int


class Deleted(TypedDict):
    """What deleting came to."""

    deleted_count: int


class CacheStats(TypedDict):
    """One student's schedule in Redis."""

    total_items: int
    """Questions in it."""
    due_items: int
    """Those that are due now."""
    memory_usage_bytes: int
    """Memory of the sorted set and its companion keys, as Redis tells."""


class CacheStatus(TypedDict):
    """What there is in the Redis with the schedules."""

    redis_connected: bool
    is_safe_mode: bool
    """Whether students are answered without it."""
    memory_used_mb: float
    """MiB that the server uses, for whatever is in it; 0 if it did not answer."""
    total_keys: int
    """Schedules of the site; companion keys do not count."""
    keys_by_season: dict[str, int]
    is_complete: bool
    """Whether all keys were looked at; if not, there are at least so many schedules."""
    keys_looked_at: int
    """Keys of whomever that were looked at, roughly."""
    keys_in_redis: int


class DueQuestion(TypedDict):
    """A question that is due."""

    question_id: str
    stage_id: str
    """The part of the id before the last colon, or all of it."""
    stability: float
    """Memory stability, 0 to 4."""
    next_review_date: str
    """Site wall time, ``YYYY-MM-DDTHH:MM:SS[.ffffff]``."""
    subject: str | None
    topic: str | None


class JournalEntry(TypedDict):
    """A row of the journal without its answers. Times: UTC, ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""

    player: str
    submission_id: str
    season: str
    state: str
    """pending, queued, retrying, failed, late, applied or dismissed."""
    created_at: str
    applied_at: str | None
    next_try_at: str | None
    """When a sweeper comes by; None where that is soon, or never."""
    tries: int
    """How often it could not be applied."""
    error: str | None
    """Why, the last time."""
    claimed_by: str | None
    """Who works on it now."""
    job_id: str
    """The RQ job that applies it."""


class JournalRow(JournalEntry):
    """A row of the journal."""

    cached_at: str | None
    attempt: str
    rq_status: str | None
    """What RQ says of its job; None if it knows none."""
    payload: Any
    """The batch; a text if it is no JSON."""


class JournalChange(TypedDict):
    """What was done to rows of the journal."""

    entries: list[JournalEntry]
    """The rows that were changed, or would be, as they were before."""
    skipped: list[tuple[str, str, str]]
    """Those that were not: player, submission id, why."""
    dry_run: bool
    more: bool
    """Whether there may be more than one call changes."""


class PersistenceStatus(TypedDict):
    """What became of a job."""

    job_id: str
    status: str
    """queued, started, applied, failed or unknown."""
    tries: int
    error: str | None


class Purged(TypedDict):
    """Rows deleted because their time is over."""

    journal: int
    audit: int
    review_log: int


class ReconciliationKinds(TypedDict):
    """Discrepancies between cache and record by kind."""

    too_old: int
    """The cache has an older state than the table."""
    too_new: int
    """The cache has a newer state than table and unapplied writes."""
    missing: int
    """The table has a row that the cache lacks."""
    ghosts: int
    """The cache has a question without a row."""
    details: int
    """Of the same version, with another stability, last review, subject or topic."""
    subjects: int
    """The schedule of a single subject is wrong."""


class ReconciliationReport(TypedDict):
    """What one reconciliation found."""

    sample_size: int
    """Items that were to be compared; of a full run those that were."""
    discrepancies_found: int
    discrepancy_rate: float
    """Their share of the compared items, 0 to 1."""
    auto_corrected: int
    alert_triggered: bool
    """Whether System Managers are told: a share above 0.001 of at least 1,000 items."""
    compared: int
    missing: int
    """Rows that the cache lacks."""
    ghosts: int
    """Cached questions without a row."""
    seconds: float
    students: int
    """Students of whom something was compared."""
    in_flight: int
    """Items that differ because a write is on its way; no discrepancies."""
    kinds: ReconciliationKinds
    season: str | None
    """The season that was asked for."""
    student: str | None
    full: bool
    """Whether everything was compared."""
    dry_run: bool
    started_at: str
    """UTC, ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""


class ReviewSession(TypedDict):
    """Answer of ``get_review_session``."""

    questions: list[DueQuestion]
    """Most overdue first."""
    total_due: int
    """How many are due in all; may exceed the number of questions."""
    is_degraded: bool
    """Whether this was answered without the cache, within limits."""
    season: str
    """The season, or "" when none is active."""


class _SubmitAnswer(TypedDict):
    status: str
    """"success"."""
    processed: int
    """Answers taken."""
    xp_earned: int
    """XP of the whole batch."""
    persistence_job_id: str
    """The RQ job that applies it."""


class SubmitAnswer(_SubmitAnswer, total=False):
    """Answer of ``submit_review_session``."""

    is_degraded: bool
    """There, and True, when the new schedule may not show yet."""


class _PersistResult(TypedDict):
    success: bool
    processed_count: int
    """Answers that are in the table now."""


class PersistResult(_PersistResult, total=False):
    """Answer of ``persist_review_batch``."""

    error: str
    """Why not, if ``success`` is False."""


class Partition(TypedDict):
    """One partition of the tracker."""

    partition_name: str
    """Says nothing reliable about the season: names are cut, folded and hashed."""
    season: str | None
    """The season that it holds; None if it does not hold exactly one."""
    rows: int
    """As InnoDB estimates."""
    data_bytes: int
    index_bytes: int


class TablePlan(TypedDict):
    """What a migration would do to one table."""

    table: str
    rows: int
    without_season: int
    """Rows that will get a season."""
    duplicate_questions: int
    """Questions of a student and season that have more than one row."""
    duplicate_rows: int
    """Rows that will be removed, because a better one of their question stays."""
    names_used_twice: int
    """Rows that will be renamed."""
    seasons: list[list[Any]]
    """Seasons found in the rows, each with its number of rows."""
    partitions_to_make: list[str]
    """Seasons without rows that will get a partition."""
    changes: list[str]
    """The changes, as SQL."""
    rebuilds: bool
    """Whether every row is written again, during which nobody can write."""


class MigrationPlan(TypedDict):
    """What a migration would do."""

    problems: list[str]
    """What forbids it, each with its remedy."""
    unfinished: str | None
    """Where an earlier migration stopped, if it did not finish."""
    season_for_rows: str
    """The season that rows without one will get."""
    tables_to_make: list[str]
    tables: list[TablePlan]
    estimate_s: float
    """Roughly how long it takes, in seconds."""
    is_empty: bool
    """Whether there is nothing to do."""


class TableMigration(TypedDict):
    """What a migration did to one table."""

    table: str
    rows_given_season: int
    rows_merged: int
    """Rows removed because a better one of the same question stays."""
    rows_renamed: int
    changes: list[str]
    """Clauses of the ALTER statements that were run."""
    partitions_made: list[str]
    """Seasons whose partition was made after the table was partitioned."""


class MigrationReport(TypedDict):
    """What a migration did."""

    resumed_at: str | None
    """Where an earlier migration had stopped, if this one took up its work."""
    season_for_rows: str
    tables_made: list[str]
    tables: list[TableMigration]
    elapsed_s: float
    """How long it took, in seconds."""
    changed: bool
    """Whether anything was changed."""


class Schedule(TypedDict):
    """When a question comes again."""

    stability: float
    """Memory stability after the answer, 0 to 4, rounded to 9 places."""
    due: float
    """Next review, UTC epoch seconds, a whole number."""


class PlayerMoved(TypedDict):
    """What the renaming of a student did."""

    tracker_rows: int
    """Rows of the tracker that Frappe's own UPDATE did not see."""
    archived_rows: int
    """The same of the archive."""
    journal_rows: int
    audit_rows: int
    log_rows: int
    """Rows of the review log."""
    cache_keys: int
    """Schedules dropped from Redis, of both names."""


class PlayerRemoved(TypedDict):
    """What the removal of a student did."""

    journal_rows: int
    cache_keys: int
    """Schedules dropped from Redis."""


class RebuildReport(TypedDict):
    """What came of the rebuild of a season's cache."""

    total_records: int
    """Questions in the schedules that were filled."""
    total_users: int
    """Students gone through."""
    total_keys: int
    """Schedules filled."""
    status: str
    """``completed``, or ``incomplete`` where ``lost`` is above 0."""
    skipped: int
    """Schedules that were complete and left alone."""
    left: int
    """Students left to their next read, whose schedules others were filling or writing to."""
    refilled: int
    """Schedules filled again that Redis had lost meanwhile: it was emptied, or is too small."""
    lost: int
    """Students without a complete schedule at the end, because Redis lost it again."""
    seconds: float


class RebuildNote(TypedDict):
    """Where a rebuild stands."""

    state: str
    """``started``, ``completed``, ``incomplete`` or ``failed``."""
    error: str | None
    after: str | None
    """The last student in the order of the index before whom all are done, in this round."""
    round: int
    """Which time the students are gone through, from 1."""
    done: int
    """Students gone through."""
    students: int
    """Students there are; 0 if that is not known."""
    filled: int
    questions: int
    skipped: int
    left: int
    refilled: int
    """Schedules filled again that Redis had lost meanwhile."""
    lost: int
    """Students without a complete schedule at the end, because Redis lost it again."""
    missing_only: bool
    witnesses: list[str]
    """Some of the first students that were filled: Redis has them unless it is emptied."""
    seconds: float
    at: int
    """UTC epoch microseconds."""
    data_set: str
    """Names the data set of Redis that is filled."""


class RebuildStatus(TypedDict):
    """A rebuild, seen from outside."""

    note: RebuildNote
    modified_at: str
    """UTC, ISO 8601 without an offset."""
    running: bool


class LatencySummary(TypedDict):
    """How long something took, of those within a minute."""

    count: int
    per_second: float
    """Over the whole of that minute."""
    p50: float | None
    """Seconds that were enough for half of them; None if there were none."""
    p95: float | None
    p99: float | None


class OperationNow(TypedDict):
    """What was asked of this process over HTTP."""

    operation: str
    requests: int
    """Answers since the process began."""
    statuses: dict[str, int]
    """The same by HTTP status."""
    last_minute: LatencySummary


class RedisMemory(TypedDict):
    """How full a Redis is."""

    used_bytes: int
    limit_bytes: int
    """``maxmemory``, or all that the host has where none is set."""
    evicted_keys: int
    """Since it was started."""


class RedisNow(TypedDict):
    """A server of Redis."""

    role: str
    """``cache`` (schedules), ``sessions`` if another server has them, ``queue``."""
    breaker: str | None
    """``closed``, ``open`` (away) or ``back`` (what it missed is being made good)."""
    memory: RedisMemory | None
    """None if it did not answer."""


class PoolUse(TypedDict):
    """Connections of this process to MariaDB."""

    used: int
    idle: int
    max: int
    waiting: int
    """Callers that wait for one."""


class JournalBacklog(TypedDict):
    """What is accepted and not in the table yet."""

    pending: int
    failed: int
    """Left to an operator."""
    oldest_s: float | None
    """Age of the oldest on its way, in seconds."""


class WorkStanding(TypedDict):
    """Runs of one kind of long work, over all seasons."""

    running: int
    stopped: int
    """Begun and not ended, with nobody at it."""
    failed: int
    last_noted_at: str | None
    """UTC, ISO 8601 without an offset."""


class LongWork(TypedDict):
    """Long work of a site."""

    archive: WorkStanding
    rebuild: WorkStanding
    reconciling: int
    """Reconciliations under way."""
    last_reconciliation: ReconciliationReport | None


class SiteNow(TypedDict):
    """A site now."""

    site: str
    safe_mode: bool
    queue_jobs: int | None
    redis: list[RedisNow]
    mariadb: PoolUse
    mariadb_answers: bool
    backlog: JournalBacklog | None
    work: LongWork | None
    persistence: LatencySummary
    """Seconds from a submit accepted until it is in the table, where this process applied it."""


class Snapshot(TypedDict):
    """``Metrics.snapshot``."""

    version: str
    in_flight: int
    panics: int
    operations: list[OperationNow]
    sites: list[SiteNow]


class Problem(TypedDict):
    """Something that is wrong with a site."""

    site: str
    problem: str
    """A word for programs."""
    blocking: bool
    """Whether the site is not served as it should be; else it is a warning."""
    message: str
    remedy: str


class Readiness(TypedDict):
    """``Metrics.readiness``."""

    ready: bool
    problems: list[Problem]
