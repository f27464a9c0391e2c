"""Subject and topic of new questions: the hook ``srs_question_info``.

An app that knows its questions names a function in its ``hooks.py``::

        srs_question_info = "school.questions.subject_and_topic"

The function takes a list of question ids and returns ``{id: (subject, topic)}``, each a name of a
Game Subject or Game Topic that exists, or None; ids that it does not know it leaves out. Of several
functions the first that knows a question wins. Never the student says what a question is about.

The job that applies a batch in Python asks at once. What applies batches otherwise (the sidecar's
worker, sweeps) queues a job that asks, if the site's configuration has ``srs_question_info: 1``.
"""

import json
from contextlib import suppress

import frappe

from memora.services import engine

CLASS = "SRSPersistenceService"
HOOK = "srs_question_info"

# What operators search the Error Log for.
ERROR_LOG_TITLE = "SRSPersistenceService"

SAVEPOINT = "memora_question_info"


def ask_for_new_questions(user, season, responses) -> None:
	"""After a batch was applied: fill in what apps know of its new questions.

	Never raises: the batch is in the table, whatever the functions of other apps do.
	"""
	if not frappe.get_hooks(HOOK):
		return
	# What the caller has not committed yet is not ours to take back.
	frappe.db.savepoint(SAVEPOINT)
	try:
		fill(user, season, _question_ids(responses))
	except Exception:
		with suppress(frappe.db.OperationalError):  # The hook committed: there is nothing to take back.
			frappe.db.rollback(save_point=SAVEPOINT)
		frappe.log_error(title=ERROR_LOG_TITLE, message=frappe.get_traceback())


def _question_ids(responses) -> list[str]:
	items = json.loads(responses) if isinstance(responses, str) else responses
	return [item["question_id"] for item in items]


def fill(user, season, question_ids) -> int:
	"""Ask apps about those questions that have neither subject nor topic; how many rows changed.

	Rows and cache change, due times and review_version do not. Raises ValidationError (417) for an
	answer of a hook that is not as it must be, UnavailableError (503) when MariaDB is away, and what
	the hooks raise.
	"""
	if not frappe.get_hooks(HOOK):
		return 0
	ids = engine.call(CLASS, "questions_without_info", user, season, list(question_ids))
	info = ask(ids)
	return engine.call(CLASS, "fill_question_info", user, season, info) if info else 0


def ask(question_ids: list[str]) -> dict[str, tuple[str | None, str | None]]:
	"""What apps know of these questions: (subject, topic) by id, without those that nobody knows."""
	info = {}
	for path in frappe.get_hooks(HOOK):
		missing = [question for question in question_ids if question not in info]
		if not missing:
			break
		told = frappe.get_attr(path)(missing) or {}
		info.update({question: _checked(path, told[question]) for question in missing if question in told})
	return {question: about for question, about in info.items() if any(about)}


def _checked(path: str, about) -> tuple[str | None, str | None]:
	"""The pair that a hook gave; ValidationError if it is none."""
	if not isinstance(about, tuple | list) or len(about) != 2:
		frappe.throw(f"{HOOK}: {path} must return a pair (subject, topic) for each question id")
	subject, topic = about
	return subject or None, topic or None
