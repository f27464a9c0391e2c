"""Whether the cached schedules agree with the table; the cache is corrected where it does not.

Each method is also a function of this module, for ``bench execute``. The scheduler only enqueues
(``enqueue_reconciliation``); what System Managers are told by mail is a job that the engine queues,
once for each run that found too much, through whatever door it was started (``tell``).
"""

import frappe
from frappe import _
from frappe.utils import flt
from frappe.utils.user import get_system_managers

from memora.services import engine, long_work
from memora.services.season_argument import either_name

CLASS = "SRSReconciliationService"

TITLE = "SRS Reconciliation"
SUBJECT = "SRS Cache Discrepancy Alert"

# Job id on Frappe's queue: one run at a time waits or runs.
JOB = "memora_srs_reconciliation"

# Seconds that the daily run may take.
TIMEOUT = 1500


class SRSReconciliationService:
	"""Compares the cached schedules of the site at hand with the table and what is on its way into it.

	Methods raise UnavailableError (503) when Redis or MariaDB is away or another run is under way,
	ValidationError (417) for a size that cannot be or an archived season, DoesNotExistError (404) for
	an unknown one.
	"""

	@either_name
	def reconcile_cache_with_database(self, sample_size=10000, season=None) -> dict:
		"""Compare a random sample of cached items (1 to 100,000), of one season if named, and correct them.

		Students whose schedules are not cached are no discrepancies, nor is a value that is newer because
		its write is still on the way.

		Returns:
			sample_size, discrepancies_found, discrepancy_rate (0 to 1), auto_corrected, alert_triggered
			(above 0.001 of at least 1,000), compared, missing, ghosts; also seconds, students, in_flight,
			kinds (too_old, too_new, missing, ghosts, details, subjects), season, student, full, dry_run,
			started_at (UTC)
		"""
		return engine.call(CLASS, "reconcile_cache_with_database", sample_size, season)

	def get_reconciliation_stats(self) -> list[dict]:
		"""Reports of the last 30 runs, the oldest first."""
		return engine.call(CLASS, "get_reconciliation_stats")


@either_name
def reconcile_cache_with_database(sample_size=10000, season=None) -> dict:
	"""See ``SRSReconciliationService.reconcile_cache_with_database``."""
	return SRSReconciliationService().reconcile_cache_with_database(sample_size, season)


def get_reconciliation_stats() -> list[dict]:
	"""See ``SRSReconciliationService.get_reconciliation_stats``."""
	return SRSReconciliationService().get_reconciliation_stats()


def enqueue_reconciliation() -> None:
	"""Queue a run over a sample of all seasons. Called by the scheduler."""
	if what := engine.problem():
		frappe.logger("memora").warning(what)
		return
	method = "memora.services.srs_reconciliation.reconcile_cache_with_database"
	long_work.enqueue_once(method, JOB, timeout=TIMEOUT)


def tell(report) -> int:
	"""Mail System Managers, else Administrator, what a run found; to how many. A job of the engine's.

	A site that cannot send mail has a row in the Error Log instead; the engine has written what was found
	there and to the log anyway.
	"""
	managers = get_system_managers(only_name=True) or ["Administrator"]
	recipients = [email for user in managers if (email := frappe.db.get_value("User", user, "email"))]
	if not recipients:
		return 0
	try:
		frappe.sendmail(recipients=recipients, subject=SUBJECT, message=_text(report))
	except Exception:
		frappe.db.rollback()
		frappe.clear_messages()
		frappe.log_error(title=TITLE, message=frappe.get_traceback())
		return 0
	return len(recipients)


def _text(report) -> str:
	"""The mail's text."""
	first = _("{0} of {1} compared items ({2} %) were wrong in the cache of {3}; {4} are corrected.").format(
		report["discrepancies_found"],
		report["compared"],
		flt(report["discrepancy_rate"] * 100, 2),
		frappe.local.site,
		report["auto_corrected"],
	)
	kinds = report["kinds"]
	labels = {
		"too_old": _("older than the table"),
		"too_new": _("newer than the table and everything on its way"),
		"missing": _("missing in the cache"),
		"ghosts": _("cached without a row"),
		"details": _("with wrong details"),
		"subjects": _("wrong under their subject"),
	}
	found = "".join(f"<li>{kinds[kind]} {label}</li>" for kind, label in labels.items() if kinds.get(kind))
	where = report.get("season") or _("all seasons")
	last = _("Compared: {0}. The table is the record and was not changed.").format(
		frappe.utils.escape_html(where)
	)
	return f"<p>{first}</p><ul>{found}</ul><p>{last}</p>"
