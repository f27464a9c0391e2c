"""What Desk learns when it starts; ``public/js/memora_engine_alert.js`` shows it."""

import frappe

from memora.services import engine, srs_schema


def extend_bootinfo(bootinfo) -> None:
	"""Tell System Managers what keeps Memora from working, for the alert in Desk."""
	if "System Manager" in frappe.get_roles() and (what := problem()):
		bootinfo.memora_problem = what


def problem() -> str | None:
	"""What keeps Memora from working, in sentences; None if nothing is known."""
	if what := engine.problem():
		return what
	if not srs_schema.is_migrated():
		return "Memora's tables are not migrated. Run bench migrate."
	return None
