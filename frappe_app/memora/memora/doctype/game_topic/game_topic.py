"""A topic. Its name cannot change: schedules and caches refer to it."""

from frappe.model.document import Document


class GameTopic(Document):
	"""A part of a subject."""

	def validate(self):
		"""A topic without a title is called by its name."""
		self.title = self.title or self.name
