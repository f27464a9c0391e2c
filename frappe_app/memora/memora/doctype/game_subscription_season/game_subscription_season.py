"""A season. Its partition is made by ``memora.services.srs_documents``, through hooks."""

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.utils import getdate

from memora.services.srs_documents import check_name


class GameSubscriptionSeason(Document):
	"""A stretch of time in which students learn; each has its own schedules."""

	def validate(self):
		"""Refuse what cannot be a season (ValidationError), warn of what will not happen."""
		check_name(_("Season Name"), self.season_name)
		self._check_dates()
		self._warn_of_auto_archive()

	def _check_dates(self):
		if self.start_date and self.end_date and getdate(self.end_date) < getdate(self.start_date):
			frappe.throw(_("End Date must not be before Start Date"))

	def _warn_of_auto_archive(self):
		asked = self.auto_archive and self.is_active
		if asked and (self.has_value_changed("auto_archive") or self.has_value_changed("is_active")):
			frappe.msgprint(
				_("This season is active: it will be archived once it is over and no longer active."),
				title=_("Archive Automatically"),
				indicator="orange",
			)
