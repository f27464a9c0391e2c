"""The engine's errors as Frappe's, and what is said when the wheel is missing."""

import json
import sys
import types
import unittest
from unittest.mock import patch

import frappe

import memora
from memora.services import engine
from memora.services.srs_desk import extend_bootinfo
from memora.services.srs_redis_manager import SRSRedisManager


class TestErrors(unittest.TestCase):
	def setUp(self):
		super().setUp()
		response = frappe.local.response
		self.addCleanup(setattr, frappe.local, "response", response)
		frappe.local.response = frappe._dict()
		frappe.clear_messages()
		self.addCleanup(frappe.clear_messages)

	def messages(self):
		"""What the client would be shown."""
		return [frappe.parse_json(message)["message"] for message in frappe.local.message_log]

	def raised(self, name, *args, **kwargs):
		error = getattr(engine.module(), name)(*args, **kwargs)
		with self.assertRaises(Exception) as caught, engine.errors():
			raise error
		return caught.exception

	def test_each_has_frappes_class_and_status(self):
		for name, class_name, status, public in (
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
		):
			with self.subTest(name):
				frappe.clear_messages()
				error = self.raised(name, "said")
				self.assertEqual((type(error).__name__, error.http_status_code), (class_name, status))
				self.assertEqual(self.messages(), ["said"] if public else [])

	def test_a_message_is_the_sidecars_to_the_byte(self):
		self.raised("InvalidInputError", "said")
		shown = frappe.local.message_log[0]
		self.assertEqual(
			shown if isinstance(shown, str) else json.dumps(shown),
			'{"message": "said", "title": "Message", "indicator": "red", "raise_exception": 1}',
		)

	def test_unavailable_says_when_and_with_what_to_come_back(self):
		self.raised("UnavailableError", "later", retry_after=1.2, submission_id="s-1")
		self.assertEqual(frappe.local.response, {"submission_id": "s-1", "retry_after": 2})
		self.assertEqual(list(frappe.local.response)[:2], ["submission_id", "retry_after"])
		frappe.local.response = frappe._dict()
		self.raised("UnavailableError", "later")
		self.assertEqual(frappe.local.response["retry_after"], 1)

	def test_what_is_not_built_is_501(self):
		with self.assertRaises(NotImplementedError) as caught, engine.errors():
			raise NotImplementedError("not built yet")
		self.assertEqual(type(caught.exception).__name__, "NotImplementedError")
		self.assertEqual(caught.exception.http_status_code, 501)
		self.assertEqual(self.messages(), ["not built yet"])

	def test_other_errors_stay_what_they_are(self):
		with self.assertRaises(KeyError), engine.errors():
			raise KeyError("x")


class TestWheel(unittest.TestCase):
	def test_versions_belong_together(self):
		self.assertIsNone(engine.problem())
		self.assertTrue(memora.__version__.startswith(f"{engine.ENGINE_VERSION}."))

	def test_a_missing_wheel_is_said_at_first_use(self):
		with patch.dict(sys.modules, {"memora_srs": None}):
			self.assertIn("missing", engine.problem())
			with self.assertRaises(engine.EngineMissingError) as caught:
				SRSRedisManager().is_available()
		self.assertIn("memora-srs", str(caught.exception))

	def test_a_wheel_of_another_version_is_said_at_first_use(self):
		other = types.ModuleType("memora_srs")
		other.__version__ = "0.9.0"
		with patch.dict(sys.modules, {"memora_srs": other}):
			self.assertIn("0.9.0", engine.problem())
			with self.assertRaises(engine.EngineMissingError):
				SRSRedisManager().is_available()

	def test_desk_alerts_administrators_alone(self):
		with patch.dict(sys.modules, {"memora_srs": None}):
			shown = frappe._dict()
			extend_bootinfo(shown)
			frappe.set_user("Guest")
			self.addCleanup(frappe.set_user, "Administrator")
			hidden = frappe._dict()
			extend_bootinfo(hidden)
			frappe.set_user("Administrator")
		self.assertIn("missing", str(shown))
		self.assertEqual(hidden, {})
		working = frappe._dict()
		extend_bootinfo(working)
		self.assertEqual(working, {})
