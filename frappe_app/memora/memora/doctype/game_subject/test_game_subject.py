# Copyright (c) 2026, Memora and Contributors
# See license.txt

# import frappe
from frappe.tests.utils import FrappeTestCase


class TestGameSubject(FrappeTestCase):
	pass
