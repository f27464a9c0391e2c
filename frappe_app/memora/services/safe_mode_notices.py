"""Administrators are told when the Redis with the schedules is away, and when it is back.

``tell`` is an RQ job on ``default``, queued by whichever process of any host notices first, once for
each outage and once for its end. While the queue is away too, it comes when that is back.
"""

import datetime

import frappe
from frappe import _
from frappe.utils import convert_utc_to_system_timezone, format_datetime
from frappe.utils.user import get_system_managers

TITLE = "SRS Safe Mode"


def tell(event, began_at, ended_at=None) -> int:
	"""Tell all System Managers, else Administrator, in Desk and by mail; how many were told.

	Args:
		event: "began" or "ended"
		began_at: when the outage was noticed, UTC, as 2026-01-19T10:00:00.000000Z
		ended_at: when it was over, if it is

	A site that cannot send mail has its notification all the same, and a row in the Error Log.
	"""
	subject, message = _text(event, _wall(began_at), ended_at and _wall(ended_at))
	managers = get_system_managers(only_name=True) or ["Administrator"]
	for user in managers:
		frappe.get_doc(
			doctype="Notification Log", for_user=user, type="Alert", subject=subject, email_content=message
		).insert(ignore_permissions=True)
	# What is in Desk stays, whatever comes of the mail.
	frappe.db.commit()  # nosemgrep
	_mail(managers, subject, message)
	return len(managers)


def _mail(managers: list[str], subject: str, message: str) -> None:
	"""Put a mail into Frappe's queue; a site without an outgoing account logs that it has none."""
	recipients = [email for user in managers if (email := frappe.db.get_value("User", user, "email"))]
	if not recipients:
		return
	try:
		frappe.sendmail(recipients=recipients, subject=subject, message=message)
	except Exception:
		frappe.db.rollback()
		frappe.clear_messages()
		frappe.log_error(title=TITLE, message=frappe.get_traceback())


def _text(event: str, began: str, ended: str | None) -> tuple[str, str]:
	"""Subject and text."""
	site = frappe.local.site
	if event == "ended":
		subject = _("{0} is over on {1}").format(TITLE, site)
		message = _("The Redis with the schedules was away from {0} to {1}.").format(began, ended)
		return subject, f"{message} {_('Students are served as usual again.')}"
	subject = _("{0} on {1}: the Redis with the schedules is away").format(TITLE, site)
	message = _("The Redis with the schedules has been away since {0}.").format(began)
	limited = _(
		"Students get their most urgent questions from the table, within limits; their answers are taken."
		" Nothing is lost. Bring that Redis back: everything else follows by itself."
	)
	return subject, f"{message} {limited}"


def _wall(utc: str) -> str:
	"""A time of the engine as the site's people read it."""
	moment = datetime.datetime.fromisoformat(utc.replace("Z", "+00:00")).replace(tzinfo=None)
	return format_datetime(convert_utc_to_system_timezone(moment).replace(tzinfo=None))
