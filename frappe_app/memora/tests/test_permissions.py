"""What students may do in Desk: nothing. Their two web methods are all that they have."""

import frappe

from memora.tests.real_site import MemoraTestCase

DOCTYPES = (
	"Player Memory Tracker",
	"Archived Memory Tracker",
	"Game Subscription Season",
	"Game Subject",
	"Game Topic",
)


class TestPermissions(MemoraTestCase):
	def setUp(self):
		super().setUp()
		self.ann = self.student()
		# Otherwise Frappe lets tests pass its checks of roles.
		frappe.flags.in_test = False
		self.addCleanup(frappe.flags.__setitem__, "in_test", True)

	def allowed(self, user):
		frappe.set_user(user)
		permissions = ("read", "write", "create", "delete", "report", "export")
		return {(d, p) for d in DOCTYPES for p in permissions if frappe.has_permission(d, p)}

	def test_students_have_none(self):
		self.assertEqual(self.allowed(self.ann), set())
		frappe.set_user("Administrator")
		frappe.get_doc("User", self.ann).add_roles(
			"Desk User" if frappe.db.exists("Role", "Desk User") else "All"
		)
		frappe.db.commit()
		self.assertEqual(self.allowed(self.ann), set())

	def test_administrators_read_all(self):
		frappe.get_doc("User", self.ann).add_roles("System Manager")
		frappe.db.commit()
		allowed = self.allowed(self.ann)
		for doctype in DOCTYPES:
			self.assertIn((doctype, "read"), allowed)
