"""A student's two requests: which questions are due, and the answers to them.

The sidecar answers the same URLs. So arguments go to the engine as they came, typed or as a form's
text: it alone judges them, and both doors refuse alike. They have no annotations, which Frappe
15 would judge first.
"""

import frappe
from frappe import _

from memora.services import engine

CLASS = "ReviewService"

# As in sidecar/src/router.rs. Frappe checks no CSRF token on GET, so that any page could hand in answers.
READ_METHODS = ["GET", "POST", "PUT", "DELETE"]
SUBMIT_METHODS = ["POST", "PUT", "DELETE"]


@frappe.whitelist(methods=READ_METHODS)
def get_review_session(subject=None, limit=20, season=None):
	"""Which questions the student at hand is due to review, most overdue first.

	Args:
		subject: only questions of this Game Subject
		limit: 1 to 50 questions
		season: the active one if not given

	Returns:
		questions (question_id, stage_id, stability, next_review_date, subject, topic),
		total_due, is_degraded, season

	Raises ValidationError (417) naming the argument, DoesNotExistError (404) for an unknown season,
	RateLimitExceededError (429) for a student who reads too often while Redis is away,
	UnavailableError (503) when neither cache nor table answer in time.
	"""
	return engine.call(CLASS, "get_review_session", _student(), subject=subject, limit=limit, season=season)


@frappe.whitelist(methods=SUBMIT_METHODS)
def submit_review_session(responses=None, submission_id=None):
	"""Take answers of the student at hand, durably; one effect for each submission id.

	Args:
		responses: 1 to 50 of question_id, quality (0 to 5), response_time_ms (optional)
		submission_id: 1 to 64 of [A-Za-z0-9_-]; else the header Idempotency-Key

	Returns:
		status, processed, xp_earned, persistence_job_id and, if the new schedule may not
		show yet, is_degraded

	Raises ValidationError (417) naming index and field, ConflictError (409) for an id that was used
	for other answers, UnavailableError (503) with submission_id: repeat with that.
	"""
	return engine.call(
		CLASS,
		"submit_review_session",
		_student(),
		responses,
		submission_id,
		idempotency_key=_header("Idempotency-Key"),
		request_id=_header("X-Memora-Request-Id"),
	)


def get_active_season():
	"""Name of the season that is active now; None if there is none. Up to ten seconds old."""
	return engine.call(CLASS, "get_active_season")


def get_reviews_safe_mode(user, season, subject=None, limit=10):
	"""A student's most urgent questions from the table, without the cache; is_degraded is True.

	A number in the place of ``subject`` is the limit (1 to 50), as callers of old have it.
	Answers as ``get_review_session``.
	"""
	if isinstance(subject, int):
		subject, limit = None, subject
	return engine.call(CLASS, "get_reviews_safe_mode", user, season, subject=subject, limit=limit)


def _student():
	"""Name of the User who asks; PermissionError (403) for a Guest, whoever calls."""
	if frappe.session.user == "Guest":
		frappe.throw(_("Log in to review"), exc=frappe.PermissionError)
	return frappe.session.user


def _header(name):
	"""A header of the request, None without one; what is not ASCII counts as empty, which no id may be."""
	request = getattr(frappe.local, "request", None)
	value = request.headers.get(name) if request else None
	return value if value is None or value.isascii() else ""
