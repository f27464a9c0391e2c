"""A row of a season that is over. Only the engine writes it."""

from frappe.model.document import Document


class ArchivedMemoryTracker(Document):
	"""What a student knew at the end of a season."""
