"""A schedule's row. Its name, version and cache are minded by ``memora.services.srs_documents``."""

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.utils import flt

from memora.services.srs_documents import check_name


class PlayerMemoryTracker(Document):
	"""When a student is due to review a question."""

	def validate(self):
		"""Refuse what the engine could not read (ValidationError)."""
		check_name(_("Question ID"), self.question_id)
		if not 0 <= flt(self.stability) <= 4:
			frappe.throw(_("Stability must be between 0 and 4"))
