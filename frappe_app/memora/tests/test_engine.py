"""The engine at the site at hand: versions, and errors as the sidecar answers them."""

import json
import sys
import types
import unittest
from unittest import mock

import frappe
from werkzeug.wrappers import Response

import memora
from memora.services import engine
from memora.services.srs_desk import extend_bootinfo
from memora.services.srs_redis_manager import SRSRedisManager

# Class of the engine; Frappe's name for it; HTTP status; whether the client reads the message.
KINDS = (
	("InvalidInputError", "ValidationError", 417, True),
	("UnauthorizedError", "AuthenticationError", 401, False),
	("ForbiddenError", "PermissionError", 403, True),
	("NotFoundError", "DoesNotExistError", 404, True),
	("ConflictError", "ConflictError", 409, True),
	("RateLimitedError", "RateLimitExceededError", 429, True),
	("MaintenanceError", "SessionStopped", 503, False),
	("UnavailableError", "UnavailableError", 503, True),
	("ConfigError", "MemoraError", 500, False),
	("InternalError", "MemoraError", 500, False),
	("MemoraError", "MemoraError", 500, False),
)


class TestEngine(unittest.TestCase):
	def setUp(self):
		frappe.clear_messages()
		self.addCleanup(frappe.clear_messages)
		for key in ("submission_id", "retry_after", "exc_type"):
			frappe.local.response.pop(key, None)
			self.addCleanup(frappe.local.response.pop, key, None)
		frappe.local.memora_retry_after = None

	def raised(self, error: Exception) -> Exception:
		"""What Frappe gets for an error of the engine."""
		with self.assertRaises(Exception) as caught, engine.errors():
			raise error
		return caught.exception

	def shown(self) -> list[str]:
		"""Messages that the client would read."""
		log = [json.loads(m) if isinstance(m, str) else m for m in frappe.local.message_log]
		return [message["message"] for message in log]

	def header(self, status: int) -> str | None:
		response = Response(status=status)
		engine.add_retry_after(response=response)
		return response.headers.get("Retry-After")

	def test_app_and_wheel_go_together(self):
		self.assertIsNone(engine.problem())
		self.assertEqual(engine.ENGINE_VERSION, ".".join(memora.__version__.split(".")[:2]))
		self.assertEqual(engine.version(), memora.__version__)

	def test_every_error_is_frappes(self):
		for kind, name, status, public in KINDS:
			with self.subTest(kind):
				frappe.clear_messages()
				error = self.raised(getattr(engine.module(), kind)("said"))
				self.assertEqual(type(error).__name__, name)
				self.assertEqual(error.http_status_code, status)
				self.assertEqual(str(error), "said")
				self.assertEqual(self.shown(), ["said"] if public else [])

	def test_a_message_is_the_sidecars_to_the_byte(self):
		self.raised(engine.module().InvalidInputError("said"))
		shown = frappe.local.message_log[0]
		self.assertEqual(
			shown if isinstance(shown, str) else json.dumps(shown),
			'{"message": "said", "title": "Message", "indicator": "red", "raise_exception": 1}',
		)

	def test_a_submit_that_could_not_be_confirmed_says_when_and_with_what_to_repeat(self):
		error = engine.module().UnavailableError("later", retry_after=1.2, submission_id="s-1")
		self.raised(error)
		self.assertEqual(frappe.local.response["submission_id"], "s-1")
		self.assertEqual(frappe.local.response["retry_after"], 2)
		self.assertEqual(self.header(503), "2")
		self.assertIsNone(self.header(200), "of an error that somebody caught")

	def test_unavailable_always_says_when(self):
		self.raised(engine.module().UnavailableError("later"))
		self.assertEqual(self.header(503), "1")

	def test_other_errors_do_not(self):
		self.raised(engine.module().InvalidInputError("wrong"))
		self.assertIsNone(self.header(417))
		self.assertNotIn("retry_after", frappe.local.response)

	def test_other_exceptions_pass(self):
		self.assertIsInstance(self.raised(KeyError("mine")), KeyError)

	def test_methods_raise_frappes_errors(self):
		with self.assertRaises(frappe.ValidationError):
			engine.call("ReviewService", "get_review_session", "Administrator", limit=0)


class TestWheel(unittest.TestCase):
	"""Without the wheel, or with another version's."""

	def assert_said_at_first_use(self, *words):
		with self.assertRaises(engine.EngineMissingError) as caught:
			SRSRedisManager().is_available()
		frappe.clear_messages()
		for word in ("memora-srs", *words):
			self.assertIn(word, str(caught.exception))
			self.assertIn(word, engine.problem())

	def test_a_missing_wheel(self):
		with mock.patch.dict(sys.modules, {"memora_srs": None}):
			self.assert_said_at_first_use("missing")

	def test_a_wheel_of_another_version(self):
		other = types.ModuleType("memora_srs")
		other.__version__ = "0.9.0"
		with mock.patch.dict(sys.modules, {"memora_srs": other}):
			self.assert_said_at_first_use("0.9.0", engine.ENGINE_VERSION)

	def test_desk_alerts_administrators_alone(self):
		self.addCleanup(frappe.set_user, "Administrator")
		for user, missing, alerted in (
			("Administrator", True, True),
			("Guest", True, False),
			("Administrator", False, False),
		):
			frappe.set_user(user)
			bootinfo = frappe._dict()
			with mock.patch.dict(sys.modules, {"memora_srs": None} if missing else {}):
				extend_bootinfo(bootinfo)
			self.assertIs("memora_problem" in bootinfo, alerted, f"{user}, {missing}")
