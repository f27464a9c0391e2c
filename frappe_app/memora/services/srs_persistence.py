"""Accepted answers, into the table.

``persist_review_batch`` is the RQ job that a submit queues, by either door; its parameters are a
wire format. Each method is also a function of this module, for ``bench execute``.
"""

import datetime

from rq import get_current_job

from memora.services import engine, srs_question_info
from memora.services.season_argument import either_name

CLASS = "SRSPersistenceService"

# What a job's wire format has beside the answers and whose they are. What later versions add is
# dropped: the engine finds it in the journal row that the submission id names.
WIRE_FIELDS = ("submission_id", "attempt", "fingerprint", "v", "door", "at", "job_id", "enqueued_at")


class SRSPersistenceService:
	"""Applies accepted answers of the site at hand.

	The engine tries again what fails in passing (deadlocks, lock waits, lost connections).
	"""

	# Tries after the first, and the seconds between them: doubled from the base, the maximum at most.
	MAX_RETRIES = 3
	RETRY_DELAY_BASE = 1
	RETRY_DELAY_MAX = 60

	@either_name
	def persist_review_batch(self, responses, user, season, retry_count=0, **wire) -> dict:
		"""Apply a batch, once, however often it is called.

		Args:
			responses: answers as a submit takes them, or with the states that it computed
			user: whose answers they are
			season: the season that they belong to
			retry_count: tries before this one, for the log
			wire: ``WIRE_FIELDS``; others are ignored

		Returns:
			success, processed_count; where it failed success is False, and error says why: MariaDB
			is away or busy for too long, or answers cannot be applied. What is in the journal by
			then stays there for the sweeper. The module's function raises instead.
		"""
		try:
			return _persist(responses, user, season, retry_count, wire)
		except engine.module().MemoraError as error:
			return {"success": False, "processed_count": 0, "error": str(error)}

	@either_name
	def persist_single_review(self, response, user, season) -> bool:
		"""Take and apply one answer now; True when it is in the table. Raises as ``persist_review_batch``."""
		return engine.call(CLASS, "persist_single_review", response, user, season)

	def get_persistence_status(self, job_id) -> dict:
		"""What became of a job, by the journal and by RQ.

		Returns:
			job_id, status (queued, started, applied, failed, unknown), tries, error. A failed one is
			tried again by itself while tries is below ``srs_journal_tries``. Unknown are jobs of
			others and those that both have forgotten.

		Raises UnavailableError (503) when MariaDB is away and RQ cannot tell.
		"""
		return engine.call(CLASS, "get_persistence_status", job_id)

	def sweep(self) -> int:
		"""Apply batches that no job has applied; how many. Raises UnavailableError without MariaDB."""
		return engine.call(CLASS, "sweep")

	def purge(self, seconds=60) -> dict:
		"""Delete what is past its retention; rows by table. Nothing if that was done minutes ago."""
		return engine.call(CLASS, "purge", seconds)

	def _calculate_next_review(self, response) -> datetime.datetime:
		"""When a question is due after this answer, as wall time of the site."""
		return engine.call(CLASS, "_calculate_next_review", response)

	@either_name
	def _audit_log(self, user, season, processed_count, job_id=None, error=None) -> None:
		"""Write a line about a batch to the log; the audit table is written when a batch is applied."""
		engine.call(CLASS, "_audit_log", user, season, processed_count, job_id, error)


@either_name
def persist_review_batch(responses, user, season, retry_count=0, **wire) -> dict:
	"""Apply a batch: the RQ job. See ``SRSPersistenceService.persist_review_batch``.

	What fails raises, so that RQ sees a failed job: UnavailableError (503) when MariaDB is away or
	busy for too long, ValidationError (417) for answers that cannot be applied.
	"""
	with engine.errors():
		return _persist(responses, user, season, retry_count, {**wire, **_job_at_hand()})


def _persist(responses, user, season, retry_count, wire) -> dict:
	"""Apply a batch, and ask apps about its new questions."""
	fields = {name: wire[name] for name in WIRE_FIELDS if wire.get(name) is not None}
	handle = engine.handle(CLASS)
	result = handle.persist_review_batch(responses, user, season, retry_count, **fields)
	srs_question_info.ask_for_new_questions(user, season, responses)
	return result


def _job_at_hand() -> dict:
	"""Id of the RQ job that runs this, and when it was queued (UTC).

	Nothing in a job of another function that calls this one: its batches would all be the job's.
	"""
	job = get_current_job()
	if not job or (job.kwargs or {}).get("method") != f"{__name__}.persist_review_batch":
		return {}
	return {"job_id": job.id, "enqueued_at": _utc(job.enqueued_at)}


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
	"""Naive UTC, whichever of both this RQ has."""
	if moment is None or moment.tzinfo is None:
		return moment
	return moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)


@either_name
def persist_single_review(response, user, season) -> bool:
	"""See ``SRSPersistenceService.persist_single_review``."""
	return SRSPersistenceService().persist_single_review(response, user, season)


def get_persistence_status(job_id) -> dict:
	"""See ``SRSPersistenceService.get_persistence_status``."""
	return SRSPersistenceService().get_persistence_status(job_id)


def sweep() -> int:
	"""See ``SRSPersistenceService.sweep``."""
	return SRSPersistenceService().sweep()


def purge(seconds=60) -> dict:
	"""See ``SRSPersistenceService.purge``."""
	return SRSPersistenceService().purge(seconds)


@either_name
def fill_question_info(user, season, question_ids) -> int:
	"""Give new questions subject and topic: an RQ job. See ``srs_question_info.fill``."""
	return srs_question_info.fill(user, season, question_ids)
