"""The engine of the site at hand: the only file that imports ``memora_srs``.

The wheel is imported at first use, so that the app can be installed, migrated and looked at
without it; ``problem()`` says what is wrong with it, ``call()`` raises that. Errors of the
engine become Frappe's here, and only here: class names, statuses and what a client may read
are those of the sidecar.
"""

import importlib
import json
import math
from contextlib import contextmanager

import frappe
from frappe import _

# The wheel must agree in major and minor version: it then has all names that are used here.
ENGINE_VERSION = "0.1"

DISTRIBUTION = "memora-srs"

# Seconds after which to come back, when an unavailable engine does not say.
DEFAULT_RETRY_AFTER = 1


class MemoraError(Exception):
	"""A defect, or a wrong configuration: HTTP 500, and the client learns no more than that."""

	http_status_code = 500


class EngineMissingError(MemoraError):
	"""The wheel is not there, or not of this app's version."""


class ConflictError(frappe.ValidationError):
	"""A submission id was used for other answers: HTTP 409."""

	http_status_code = 409


class UnavailableError(frappe.InReadOnlyMode):
	"""Redis or MariaDB is away, too slow or too busy: HTTP 503 with Retry-After.

	Of Frappe's classes with this status the one of which it writes no Error Log row: an outage
	must not add one for every request.
	"""

	http_status_code = 503


# For each class of the engine: Frappe's, and whether the client may read the message. Whatever
# is not here is a MemoraError, whose text is for the log.
ERRORS = {
	"InvalidInputError": (frappe.ValidationError, True),
	"UnauthorizedError": (frappe.AuthenticationError, False),
	"ForbiddenError": (frappe.PermissionError, True),
	"NotFoundError": (frappe.DoesNotExistError, True),
	"ConflictError": (ConflictError, True),
	"RateLimitedError": (frappe.RateLimitExceededError, True),
	"MaintenanceError": (frappe.SessionStopped, False),
	"UnavailableError": (UnavailableError, True),
}


def problem() -> str | None:
	"""Why the engine cannot be used, as sentences for an administrator; None if it can."""
	try:
		engine = importlib.import_module("memora_srs")
	except ImportError as e:
		return (
			f"Memora's engine is missing: the Python package {DISTRIBUTION} {ENGINE_VERSION} cannot be"
			f" imported in this bench's environment ({e}). Install its wheel there"
			f" (env/bin/pip install {DISTRIBUTION.replace('-', '_')}-{ENGINE_VERSION}.*.whl), restart the"
			" bench and run bench migrate."
		)
	version = str(getattr(engine, "__version__", "unknown"))
	if version.split(".")[:2] == ENGINE_VERSION.split("."):
		return None
	return (
		f"Memora's engine has the wrong version: the Python package {DISTRIBUTION} is {version}, this app"
		f" needs {ENGINE_VERSION}. Install the wheel that belongs to the app, restart the bench and run"
		" bench migrate."
	)


def version() -> str | None:
	"""Version of the installed wheel, None if there is none."""
	try:
		return importlib.import_module("memora_srs").__version__
	except ImportError:
		return None


def module():
	"""The package ``memora_srs``.

	Raises EngineMissingError if it is not there or not of this app's version.
	"""
	if what := problem():
		frappe.throw(what, exc=EngineMissingError, title="Memora")
	return importlib.import_module("memora_srs")


def handle(class_name: str):
	"""The engine's object of this class for the site at hand; making it opens nothing.

	Its methods raise the engine's own errors: call them within ``errors()``, or use ``call``.
	"""
	return getattr(module(), class_name)(frappe.local.site, frappe.local.sites_path)


def call(class_name: str, name: str, /, *args, **kwargs):
	"""Call a method of one of the engine's classes for the site at hand; Frappe's errors."""
	target = handle(class_name)
	with errors():
		return getattr(target, name)(*args, **kwargs)


@contextmanager
def errors():
	"""Turn errors of the engine that are raised within into Frappe's."""
	base = module().MemoraError
	try:
		yield
	except base as e:
		raise_as_frappe(e)


def raise_as_frappe(error) -> None:
	"""Raise Frappe's exception for an error of the engine; call it while handling that error."""
	exc, public = next(
		(ERRORS[c.__name__] for c in type(error).__mro__ if c.__name__ in ERRORS), (MemoraError, False)
	)
	_say_when_to_repeat(error, exc)
	_raise(exc, str(error), public)


def _say_when_to_repeat(error, exc) -> None:
	"""Put the submission id and the seconds into the answer's body, and the latter on its headers."""
	retry_after = getattr(error, "retry_after", None)
	if retry_after is None and exc is UnavailableError:
		retry_after = DEFAULT_RETRY_AFTER
	if submission_id := getattr(error, "submission_id", None):
		frappe.local.response["submission_id"] = submission_id
	if retry_after is not None:
		seconds = max(1, math.ceil(retry_after))
		frappe.local.response["retry_after"] = frappe.local.memora_retry_after = seconds


def _raise(exc, message: str, public: bool) -> None:
	"""Raise ``exc``, showing the message to the client only if it is meant for one."""
	if frappe.__version__.startswith("14."):
		# Later ones say the class of every error, this one only in frappe.throw.
		frappe.local.response["exc_type"] = exc.__name__
	if public and not frappe.flags.mute_messages:
		_show(message)
	raise exc(message)


def _show(message: str) -> None:
	"""Put into the answer what frappe.throw would, without the random id that it adds since 15.

	A client then gets the same bytes from here and from the sidecar.
	"""
	shown = frappe._dict(
		message=message,
		title=_("Message", context="Default title of the message dialog"),
		indicator="red",
		raise_exception=1,
	)
	as_text = frappe.__version__.startswith("14.")
	frappe.local.message_log.append(json.dumps(shown) if as_text else shown)


def add_retry_after(response=None, request=None) -> None:
	"""Hook ``after_request``: the header that an error of the engine asked for."""
	retry_after = getattr(frappe.local, "memora_retry_after", None)
	if retry_after is not None and response is not None and response.status_code >= 400:
		response.headers["Retry-After"] = str(retry_after)
