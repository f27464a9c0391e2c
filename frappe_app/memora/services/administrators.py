"""Whose the web methods for administrators are."""

import frappe
from frappe import _


def only_administrators() -> None:
	"""PermissionError (403) for everybody else. Frappe's ``only_for`` lets everybody in during tests."""
	if "System Manager" not in frappe.get_roles():
		frappe.throw(_("Only a System Manager may do this"), exc=frappe.PermissionError)
