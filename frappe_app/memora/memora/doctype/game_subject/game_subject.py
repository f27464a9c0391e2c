"""A subject. Its name cannot change: schedules and caches refer to it."""

from frappe.model.document import Document


class GameSubject(Document):
	"""What questions are about."""

	def validate(self):
		"""A subject without a title is called by its name."""
		self.title = self.title or self.name
