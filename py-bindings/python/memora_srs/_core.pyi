"""Native part of ``memora_srs``; import from ``memora_srs``, not from here."""

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeAlias

from typing_extensions import disjoint_base

from memora_srs.types import (
    ArchivedQuestion,
    ArchivePlan,
    ArchiveReport,
    ArchiveStatus,
    AutoArchiveReport,
    CacheStats,
    CacheStatus,
    Deleted,
    Flagged,
    JournalChange,
    JournalEntry,
    JournalRow,
    MigrationPlan,
    MigrationReport,
    Partition,
    PersistenceStatus,
    PersistResult,
    PlayerMoved,
    PlayerRemoved,
    Purged,
    Readiness,
    RebuildReport,
    RebuildStatus,
    ReconciliationReport,
    RestoreReport,
    ReviewSession,
    Schedule,
    Snapshot,
    SubmitAnswer,
)

_Path: TypeAlias = str | os.PathLike[str]
_Progress: TypeAlias = Callable[[str, str, int, int], object]
_LongProgress: TypeAlias = Callable[[str, int, int], object]

__all__ = [
    "Journal",
    "Metrics",
    "PartitionManager",
    "Players",
    "ReviewService",
    "SRSArchiver",
    "SRSPersistenceService",
    "SRSReconciliationService",
    "SRSRedisManager",
    "SafeModeManager",
    "Schema",
    "__version__",
    "schedule",
    "xp_for_quality",
]

__version__: str

@disjoint_base
class SRSRedisManager:
    """One site's schedules in Redis: sorted sets of question ids by due time."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> SRSRedisManager:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def add_item(
        self,
        user: str,
        season: str,
        question_id: str,
        next_review_ts: float,
        ttl: int | None = None,
    ) -> bool:
        """Set when a question is due; True when it was stored.

        ``next_review_ts``: UTC epoch seconds. ``ttl``: seconds until the key expires if
        this call makes it (default 30 days). A schedule that is not cached is not made
        complete by this: the next read fills it from the table, and keeps this item.

        Raises InvalidInputError for a name or time that cannot be, UnavailableError when
        Redis is away.
        """

    def add_batch(
        self,
        user: str,
        season: str,
        items: Mapping[str, float],
        ttl: int | None = None,
    ) -> bool:
        """Set when several questions are due, in one step; True when they were stored.

        ``items``: UTC epoch seconds by question id. Otherwise as ``add_item``.
        """

    def remove_item(self, user: str, season: str, question_id: str) -> bool:
        """Take a question out of the cached schedule; True if it was there.

        The table is not changed: a later fill brings a question back that has a row.

        Raises UnavailableError when Redis is away.
        """

    def get_due_items(self, user: str, season: str, limit: int = 20) -> list[str]:
        """Ids of the questions that are due now, most overdue first, at most ``limit``.

        Asks the cache alone: a schedule that is not cached has no items.

        Raises InvalidInputError for a limit outside 1 to 10,000, UnavailableError when Redis
        is away.
        """

    def get_due_items_with_rehydration(
        self, user: str, season: str, limit: int = 20
    ) -> tuple[list[str], bool]:
        """As ``get_due_items``, filling a schedule that is not cached from the table first.

        The second value is True when this call filled the cache. Where another process fills
        it, or the season is not cached, the table answers.

        Raises InvalidInputError for a limit outside 1 to 10,000 or an archived season,
        NotFoundError for an unknown one, UnavailableError when Redis or MariaDB is away.
        """

    def count_due_items(self, user: str, season: str) -> int:
        """Count the questions that are due now in the cached schedule; 0 if it is not cached.

        Raises UnavailableError when Redis is away.
        """

    def get_all_scores(self, user: str, season: str) -> dict[str, float]:
        """All questions of the cached schedule with their due time, UTC epoch seconds.

        Empty if it is not cached. Raises UnavailableError when Redis is away.
        """

    def clear_user_cache(self, user: str, season: str) -> bool:
        """Remove a student's schedule and its companion keys from Redis; the table stays.

        True if there was one. Raises UnavailableError when Redis is away.
        """

    def get_cache_stats(self, user: str, season: str) -> CacheStats:
        """Size of a student's cached schedule.

        Raises UnavailableError when Redis is away.
        """

    def is_available(self) -> bool:
        """Whether Redis answers a command now. Never raises for a server that is away."""

    def rebuild_season_cache(
        self,
        season_name: str,
        batch_size: int = 1000,
        progress: _LongProgress | None = None,
        *,
        load: int = 50,
        missing_only: bool = False,
        from_start: bool = False,
    ) -> RebuildReport:
        """Fill the cached schedules of all students of a season.

        Students may read and submit meanwhile. One rebuild of a season runs at a time, on any
        host; one that was interrupted within the last hour goes on where it stood, unless
        ``from_start``. ``batch_size``: students read at once, 1 to 10,000 (of 20,000 questions
        together at most). ``load``: share of the time in which the servers are asked to work,
        1 to 100 per cent; 50 leaves room for students. ``missing_only``: leave complete
        schedules alone. ``progress(phase, done, total)`` is called some times a second with
        students, ``total`` being 0 when it is not known; an exception in it ends the rebuild.

        Raises InvalidInputError for an archived season, one that is not cached
        (``enable_redis``) or an argument that cannot be, NotFoundError for an unknown season,
        UnavailableError when another rebuild of it is under way or a server is away: call
        again and it goes on.
        """

    def get_rebuild_status(self, season_name: str) -> RebuildStatus | None:
        """Where the rebuild of a season stands, or how the last one ended; None if there was none.

        Raises NotFoundError for an unknown season, UnavailableError when MariaDB is away.
        """

    def clear_season_cache(
        self,
        season_name: str,
        progress: _LongProgress | None = None,
        *,
        thorough: bool = False,
    ) -> int:
        """Remove the schedules of all students of a season from Redis; the table stays.

        Number of schedules that there were. Their companion keys go with them.

        With ``thorough`` once more when every process has noticed that the season is not
        cached any more (``srs_season_cache_s``, 10 seconds); takes so long. ``progress(phase,
        done, total)``: keys of the whole Redis that were looked at.

        Raises InvalidInputError for what is no season's name, UnavailableError when a server
        is away: call again.
        """

    def get_cache_status(self) -> CacheStatus:
        """What there is in the Redis with the schedules, counted for two seconds at most.

        Never raises for a Redis that is away.
        """

    def redis_url(self) -> str:
        """URL of the Redis that holds the schedules, password included: never log it.

        Raises ConfigError when the site's configuration is wrong, NotFoundError when there
        is no such site.
        """

    def _make_key(self, user: str, season: str) -> str:
        """Key of a student's schedule, ``srs:<user>:<season>`` with the site's prefix."""

@disjoint_base
class SRSPersistenceService:
    """Applies accepted answers to the table."""

    MAX_RETRIES: ClassVar[int]
    """Tries after the first."""
    RETRY_DELAY_BASE: ClassVar[int]
    """Seconds before the first of them, doubled each time."""
    RETRY_DELAY_MAX: ClassVar[int]
    """Seconds between two of them at most."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> SRSPersistenceService:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def persist_review_batch(
        self,
        responses: Sequence[Mapping[str, Any]] | str,
        user: str,
        season: str,
        retry_count: int = 0,
        *,
        job_id: str | None = None,
        enqueued_at: datetime | float | None = None,
        submission_id: str | None = None,
        attempt: str | None = None,
        fingerprint: str | None = None,
        v: int | None = None,
        door: str | None = None,
        at: int | None = None,
    ) -> PersistResult:
        """Apply one batch of answers, once, however often it is called.

        The parameters are those of the RQ job, a wire format; ``job_id`` and
        ``enqueued_at`` are the job's own (a naive datetime is UTC, as RQ has it; a number
        is UTC epoch seconds). ``responses``: a list, or its JSON text. A complete batch names
        its journal row, and that is applied; the row is made from the job if it is missing.
        Answers with ready states (``new_stability``, ``new_next_review_date``) or none, as
        the implementation before this one queued them, are one submission under the id of
        the job, as of ``enqueued_at``.

        Deadlocks, lock waits and lost connections are tried again ``MAX_RETRIES`` times,
        ``RETRY_DELAY_BASE`` seconds apart at first, ``RETRY_DELAY_MAX`` at most. After
        that, and at once for answers that cannot be applied, the error is raised, so that
        the job fails; a row that is in the journal stays for the sweeper and an operator.

        Raises InvalidInputError naming index and field (nothing was changed), NotFoundError
        for an unknown user or season, ConflictError for a submission id used with other
        answers, UnavailableError when a server is away.
        """

    def persist_single_review(self, response: Mapping[str, Any], user: str, season: str) -> bool:
        """Take and apply one answer now; True when it is in the table.

        ``response``: ``question_id``, ``quality`` (0 to 5), ``response_time_ms``
        (optional), or with a ready state as in ``persist_review_batch``.

        Raises as ``persist_review_batch``.
        """

    def get_persistence_status(self, job_id: str) -> PersistenceStatus:
        """What became of a job: ``job_id``, ``status``, ``tries``, ``error``.

        ``status``: queued (accepted, a job or a sweep will apply it), started (a worker has
        it), applied, failed (could not be applied; while ``tries`` is below
        ``srs_journal_tries`` it is tried again by itself; or was dismissed), unknown (no job
        of this site, or forgotten: by RQ after ``rq_results_ttl``, by the journal after
        ``srs_journal_days``).

        Raises UnavailableError when MariaDB is away and RQ cannot tell.
        """

    def purge(self, seconds: int = 60) -> Purged:
        """Delete what is past its retention; returns rows deleted by table.

        Applied journal rows (``srs_journal_days``), audit (``srs_audit_days``), review log
        (``srs_review_log_days``), in bounded pieces, for at most ``seconds``. One process
        of a site does so at a time, and not oftener than every ten minutes; the others
        delete nothing.

        Raises UnavailableError when MariaDB is away.
        """

    def sweep(self, max_rows: int = 1000) -> int:
        """Apply journal rows that no job has applied; returns how many were applied.

        For the scheduler, every few minutes. ``max_rows``: so many at most, 1 or more. Any
        number of processes may sweep at once. What cannot be applied is in Frappe's Error
        Log and is tried again later.

        Raises UnavailableError when MariaDB is away.
        """

    def questions_without_info(self, user: str, season: str, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` whose row has neither subject nor topic, in stored spelling.

        Raises InvalidInputError for a name that cannot be or more than 1,000 ids, NotFoundError
        for an unknown user or season.
        """

    def fill_question_info(
        self,
        user: str,
        season: str,
        info: Mapping[str, tuple[str | None, str | None]],
    ) -> int:
        """Give rows without subject and topic theirs; returns how many rows changed.

        ``info``: (subject, topic) by question id. Neither due time nor review_version
        changes, so a review that is on its way still counts as newer.

        Raises as ``questions_without_info``, InvalidInputError also for a subject or topic that
        does not exist; nothing has changed then.
        """

    def _calculate_next_review(self, response: Mapping[str, Any]) -> datetime:
        """When a question is due after this answer, as naive wall time of the site.

        ``response``: ``quality``, and if known ``response_time_ms``, ``stability``,
        ``next_review_date`` and ``last_review_date`` (wall time) before the answer; or with a
        ready ``new_next_review_date``, which is it.
        """

    def _audit_log(
        self,
        user: str,
        season: str,
        processed_count: int,
        job_id: str | None = None,
        error: str | None = None,
    ) -> None:
        """Write one line about a batch to the log; the audit table is written when applying."""

@disjoint_base
class SRSReconciliationService:
    """Compares the cached schedules of one site with the table, and corrects the cache."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> SRSReconciliationService:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def reconcile_cache_with_database(
        self,
        sample_size: int = 10000,
        season: str | None = None,
        *,
        dry_run: bool = False,
        progress: _LongProgress | None = None,
    ) -> ReconciliationReport:
        """Compare random items of cached students with the table and what is on its way into it.

        ``sample_size``: 1 to 100,000 items; fewer are compared if no more are cached.
        ``season``: of this one alone. ``dry_run``: correct nothing. ``progress(phase, done,
        total)`` is called some twenty times a second at most. What is wrong in the cache is
        corrected unless something has changed it meanwhile; the table is never changed. Above
        0.1 % of at least 1,000 items System Managers get a mail.

        Raises InvalidInputError for a size that cannot be or an archived season,
        NotFoundError for an unknown one, UnavailableError when Redis or MariaDB is away or
        while another such run is under way.
        """

    def reconcile_all(
        self,
        season: str | None = None,
        student: str | None = None,
        *,
        dry_run: bool = False,
        progress: _LongProgress | None = None,
    ) -> ReconciliationReport:
        """Compare everything of one season's cached students, or of one student.

        ``season``: the active one if none is named. ``student``: a User. Otherwise as
        ``reconcile_cache_with_database``; NotFoundError also for an unknown student, or where
        no season is active. Takes minutes for millions of rows.
        """

    def get_reconciliation_stats(self) -> list[ReconciliationReport]:
        """Reports of the last 30 runs, the oldest first.

        Raises UnavailableError when MariaDB is away.
        """

@disjoint_base
class SRSArchiver:
    """Moves the rows of seasons that are over into the archive, and back."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> SRSArchiver:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def archive_season(
        self, season_name: str, *, method: str | None = None, progress: _LongProgress | None = None
    ) -> ArchiveReport:
        """Archive an inactive season; go on where an earlier call was stopped.

        Students' reads of the season are refused from the beginning. Nothing is dropped before
        the archive has the same rows, by count and checksum. Of an archived season what was
        written late is merged. ``method``: ``convert`` (MariaDB 10.7) or ``copy``, else what the
        server can do best. ``progress(phase, done, total)`` is called some times a second,
        ``total`` being 0 when it is not known; an exception in it stops the work, as a kill would.

        Raises InvalidInputError for an active season, NotFoundError for an unknown one,
        ConflictError when something is in the way or the rows do not agree, UnavailableError
        when another run is under way, a table is in use or a server away: call again.
        """

    def plan_archive(self, season_name: str, *, method: str | None = None) -> ArchivePlan:
        """Say what ``archive_season`` would do, and roughly how long it would take.

        Raises NotFoundError for an unknown season, UnavailableError when a run of it is under way.
        """

    def restore_season(
        self, season_name: str, *, progress: _LongProgress | None = None
    ) -> RestoreReport:
        """Bring an archived season's rows back into the tracker; it stays inactive.

        Where the tracker has a newer state of a question, that stays. ``progress`` as
        ``archive_season``.

        Raises InvalidInputError for a season that is not archived, and as ``archive_season``.
        """

    def process_auto_archive(self, *, progress: _LongProgress | None = None) -> AutoArchiveReport:
        """Archive the seasons with ``auto_archive`` that are inactive and over.

        Also goes on with what was stopped, and merges what was written late for archived
        seasons. One season that fails does not stop the others. ``progress`` as
        ``archive_season``.
        """

    def get_archive_status(self, season_name: str) -> ArchiveStatus:
        """Where the archiving of a season stands.

        Raises NotFoundError for an unknown season.
        """

    def get_archived_schedule(
        self, user: str, season_name: str, *, after: str = "", limit: int = 1000
    ) -> list[ArchivedQuestion]:
        """A student's archived questions, in the order of their ids: those after ``after``.

        ``limit``: 1 to 1,000. Empty for a season without archived rows.

        Raises NotFoundError for an unknown season.
        """

    def flag_eligible_for_deletion(self, *, progress: _LongProgress | None = None) -> Flagged:
        """Flag rows archived more than three years ago. ``progress`` as ``archive_season``.

        Raises UnavailableError when this runs already or MariaDB is away: call again.
        """

    def count_eligible_records(self, season_name: str | None = None) -> int:
        """How many rows ``delete_eligible_records`` would delete.

        Raises NotFoundError for an unknown season.
        """

    def delete_eligible_records(
        self,
        season_name: str | None = None,
        confirm: bool = False,
        *,
        progress: _LongProgress | None = None,
    ) -> Deleted:
        """Delete flagged rows, of one season or of all. ``progress`` as ``archive_season``.

        Raises InvalidInputError unless ``confirm`` is True, NotFoundError for an unknown season,
        UnavailableError as ``flag_eligible_for_deletion``.
        """

@disjoint_base
class Metrics:
    """How one site is, and what this process counted of it.

    What is (queue, journal, memory, the last reconciliation) is the same from every process;
    what is counted is of this one alone. docs/MONITORING.md has the names.
    """

    def __new__(cls, site: str, sites_path: _Path = ".") -> Metrics:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def text(self) -> str:
        """As text for Prometheus (OpenMetrics), as the sidecar's ``/metrics`` has it.

        A server that does not answer within a second leaves its part out, and is named in
        ``memora_srs_unreachable``.
        """

    def snapshot(self) -> Snapshot:
        """The same as a dictionary, with the percentiles of the last minute, in seconds.

        What a server that did not answer would have told is None.
        """

    def readiness(self) -> Readiness:
        """Whether the site can be served as it should be; what is wrong, each with a remedy.

        As the sidecar's ``/readyz``. Raises NotFoundError if there is no such site.
        """

@disjoint_base
class SafeModeManager:
    """Limits while Redis is away.

    Counted by all processes of the host and, where the queue Redis answers, of all hosts.
    """

    GLOBAL_LIMIT: ClassVar[int]
    """Requests a minute of all students together, unless the site's
    ``srs_safe_mode_global_limit`` says otherwise."""
    USER_LIMIT_SECONDS: ClassVar[int]
    """Seconds between two requests of one student, unless the site's
    ``srs_safe_mode_user_seconds`` says otherwise."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> SafeModeManager:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def is_safe_mode_active(self) -> bool:
        """Whether Redis is away, so that reads come from the table, within limits.

        Never raises for a server that is away.
        """

    def check_rate_limit(self, user: str) -> bool:
        """Whether this student may read without the cache now; if so, it counts as a read.

        Counts whether Redis is away or not. ``get_review_session`` counts by itself.

        Raises InvalidInputError for what is no User's name.
        """

    def get_global_request_count(self) -> int:
        """Count the reads of all students in this minute, which began with its first read."""

    def get_user_last_request(self, user: str) -> float | None:
        """When this student last read without the cache, UTC epoch seconds.

        None if they never did, or so long ago that it is not known any more.
        """

    def reset_user_rate_limit(self, user: str) -> None:
        """Let this student read at once.

        Raises UnavailableError when the queue Redis does not answer: it is so on this host
        alone then.
        """

    def reset_global_rate_limit(self) -> None:
        """Count the reads of all students anew.

        Raises UnavailableError as ``reset_user_rate_limit`` does.
        """

@disjoint_base
class PartitionManager:
    """Partitions of the tracker, one for each season."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> PartitionManager:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def create_season_partition(self, season_name: str, *, note: bool = True) -> bool:
        """Make the season's partition; True when this call made one, False when it was there.

        ``note``: the season must exist, and ``partition_created`` is set on it. A hook that
        runs inside the transaction which inserts the season passes False, and sets the
        field itself; that transaction must not have read the tracker.

        Raises NotFoundError for an unknown season (with ``note``), InvalidInputError for what
        is no season's name, ConfigError when the table is not partitioned by season,
        UnavailableError when the table stays locked for ten seconds.
        """

    def check_partition_exists(self, season_name: str) -> bool:
        """Whether rows of this season have a partition, by MariaDB's comparison of names."""

    def is_table_partitioned(self) -> bool:
        """Whether the tracker has partitions."""

    def get_all_partitions(self) -> list[Partition]:
        """All partitions of the tracker; empty if it has none."""

    def get_partition_stats(self, season_name: str | None = None) -> list[Partition]:
        """Rows and bytes of all partitions, or of that of one season; empty if it has none.

        Raises NotFoundError for an unknown season without a partition.
        """

    def create_composite_index(self) -> bool:
        """Make the index that reads without the cache use; True when this call made it.

        Raises ConfigError when the tracker lacks a column of it: run the migration.
        """

@disjoint_base
class Schema:
    """The tables' key, indexes, columns and partitions."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> Schema:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def plan(self) -> MigrationPlan:
        """Say what ``apply`` would do and roughly how long it takes; changes nothing."""

    def apply(self, progress: _Progress | None = None) -> MigrationReport:
        """Do what is missing; running it again finds nothing to do, or continues.

        ``progress(step, table, done, total)`` is called several times a second at most,
        ``total`` being 0 when it is not known; an exception in it stops the migration.

        Raises NotFoundError if Frappe's tables are not there, ConfigError if something
        forbids partitioning them, UnavailableError if a lock cannot be had.
        """

    def fix_null_seasons(self) -> MigrationReport:
        """Give rows without a season one. The whole of ``apply``: its steps need each other."""

    def setup_partitioning(self) -> MigrationReport:
        """Partition the tables by season. The whole of ``apply``: its steps need each other."""

    def add_safe_mode_index(self) -> MigrationReport:
        """Make the index of reads without the cache. The whole of ``apply``, as the others."""

@disjoint_base
class ReviewService:
    """The two operations of a student, as the web endpoints have them."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> ReviewService:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def get_review_session(
        self,
        user: str,
        subject: str | None = None,
        limit: int | str | None = 20,
        season: str | None = None,
    ) -> ReviewSession:
        """Which questions this student is due to review, most overdue first.

        ``user``: the stored name of a User; who may ask for whom is the caller's to judge.
        ``limit``: 1 to 50, also as text, as a form has it. ``season``: the active one if
        not given. ``subject``: only questions of this Game Subject.

        Raises InvalidInputError naming the argument, NotFoundError for an unknown season,
        RateLimitedError for a student who reads too often while Redis is away (docs/SAFE_MODE.md),
        UnavailableError when neither cache nor table answer in time.
        """

    def submit_review_session(
        self,
        user: str,
        responses: Sequence[Mapping[str, Any]] | str,
        submission_id: str | None = None,
        *,
        idempotency_key: str | None = None,
        request_id: str | None = None,
    ) -> SubmitAnswer:
        """Take a student's answers, durably, with one effect for each submission id.

        ``responses``: 1 to 50 of ``question_id``, ``quality`` (0 to 5) and optionally
        ``response_time_ms`` (0 to 86,400,000), or the same as JSON text. ``submission_id``:
        1 to 64 of ``[A-Za-z0-9_-]``; without one ``idempotency_key``, then ``request_id``
        (headers Idempotency-Key, X-Memora-Request-Id) stand in, then a new one.

        Raises InvalidInputError naming index and field (nothing was taken), ConflictError
        for an id used with other answers, UnavailableError when it could not be made
        durable in time: its ``submission_id`` is the one to repeat with.
        """

    def get_active_season(self) -> str | None:
        """Name of the season that is active now, None if there is none; read again after 10 s."""

    def get_reviews_safe_mode(
        self,
        user: str,
        season: str,
        subject: str | None = None,
        limit: int | str | None = 10,
    ) -> ReviewSession:
        """The most urgent due questions from the table, without the cache; is_degraded True.

        Answers that are accepted and not in the table yet count. ``limit``: 1 to 50. Nobody reads
        too often here, as by ``get_review_session`` while Redis is away.

        Raises InvalidInputError naming the argument, NotFoundError for an unknown season,
        UnavailableError when MariaDB does not answer in time.
        """

@disjoint_base
class Journal:
    """Accepted answers on their way into the table, for an operator."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> Journal:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def list(
        self,
        *,
        states: Sequence[str] | None = None,
        player: str | None = None,
        season: str | None = None,
        submission_id: str | None = None,
        older_than: int | None = None,
        start: int = 0,
        limit: int = 100,
    ) -> builtins.list[JournalEntry]:
        """List rows without their answers, unapplied ones oldest first, else newest first.

        ``states``: of pending, queued, retrying, failed, late, applied, dismissed; none
        means those that are not applied. ``player``, ``season`` and ``submission_id`` as
        stored. ``older_than``: seconds. ``limit``: 1 to 1000, after the first ``start``.

        Raises InvalidInputError for another state or limit.
        """

    def count(
        self,
        *,
        states: Sequence[str] | None = None,
        player: str | None = None,
        season: str | None = None,
        submission_id: str | None = None,
        older_than: int | None = None,
    ) -> int:
        """Count the rows that ``list`` would give without a limit."""

    def show(self, player: str, submission_id: str) -> JournalRow:
        """Show one row with its answers.

        Raises NotFoundError if there is none.
        """

    def retry(
        self,
        *,
        states: Sequence[str] | None = None,
        player: str | None = None,
        season: str | None = None,
        submission_id: str | None = None,
        older_than: int | None = None,
        dry_run: bool = False,
    ) -> JournalChange:
        """Have rows tried again that are not applied: the next sweep takes them.

        Which: as ``list``, 1000 at most. ``dry_run``: only say which.

        Raises InvalidInputError if nothing says which, or for applied or dismissed rows.
        """

    def dismiss(
        self,
        by: str,
        *,
        states: Sequence[str] | None = None,
        player: str | None = None,
        season: str | None = None,
        submission_id: str | None = None,
        older_than: int | None = None,
        dry_run: bool = False,
    ) -> JournalChange:
        """Give up rows for good that are not applied: their answers go to the Error Log.

        Which: as ``list``, 1000 at most. ``by``: who does it, for the audit. ``dry_run``:
        only say which.

        Raises InvalidInputError as ``retry``.
        """

@disjoint_base
class Players:
    """What follows when a User is renamed or deleted, or a row is edited by hand."""

    def __new__(cls, site: str, sites_path: _Path = ".") -> Players:
        """Stand for ``site`` below the bench's ``sites`` folder; opens nothing."""

    def check_rename(self) -> None:
        """Make sure that Users may be renamed or merged now.

        To be asked from the ``before_rename`` hook of User when it has read the tracker in
        Frappe's own transaction.

        Raises UnavailableError while a season is on its way into the archive or back, or if
        MariaDB is away.
        """

    def merge_rows(self, old: str, new: str) -> list[tuple[str, list[str]]]:
        """Give the statements that let Frappe merge the User ``old`` into ``new``.

        Each is SQL with ``%s`` and its parameters, for ``frappe.db.sql``: run them in order in
        Frappe's own transaction, from the ``before_rename`` hook of User when ``merge`` is
        true. Where both have a row of the same season and question, the newer state stays.
        """

    def rename(self, old: str, new: str) -> PlayerMoved:
        """Move what is ours from ``old`` to ``new``, after the rename or merge was committed.

        Journal, audit, review log, rows of tracker and archive written meanwhile; schedules of
        both are dropped. May be called any number of times.

        Raises ConflictError while the User ``old`` exists, NotFoundError if there is no User
        ``new``, UnavailableError if a server is away or a lock cannot be had: call again.
        """

    def remove(self, user: str) -> PlayerRemoved:
        """Remove what is ours of a deleted User, after the deletion was committed.

        Schedules and the answers in the journal; audit, review log and rows of the tracker
        stay. A User that was merged into another is moved, as by ``rename``.

        Raises ConflictError while the User exists, UnavailableError as ``rename``.
        """

    def invalidate(self, user: str, season: str) -> bool:
        """Drop a student's cached schedule after an edit of its rows; True if there was one.

        Raises UnavailableError when Redis is away. The schedule is not believed then, and is
        dropped when Redis is back: nobody need call again.
        """

def schedule(
    stability: float | None,
    quality: int,
    *,
    now: float,
    due: float | None = None,
    last_review: float | None = None,
    response_time_ms: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Schedule:
    """When a question comes again after an answer. Pure: no clock, no server.

    ``stability``: 0 to 4 before the answer, None for a new question. ``quality``: 0 to 5,
    below 3 is a lapse. ``now``, ``due``, ``last_review``: UTC epoch seconds; ``due``
    (default: ``now``) is when it was due. ``parameters``: as ``srs_scheduler`` in the
    site's configuration.

    Raises InvalidInputError for a value out of range, ConfigError for wrong parameters.
    """

def xp_for_quality(quality: int, xp: Mapping[str, int] | Sequence[int] | None = None) -> int:
    """XP for an answer of this quality, 0 to 5.

    ``xp``: as ``srs_xp`` in the site's configuration, default 0, 2, 5, 15, 20, 25.
    """
