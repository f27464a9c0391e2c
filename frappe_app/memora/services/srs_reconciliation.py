"""Whether cache and table agree. The engine does not have this part yet.

Each method is also a function of this module, for ``bench execute``.
"""

from memora.services import engine
from memora.services.season_argument import either_name

CLASS = "SRSReconciliationService"


class SRSReconciliationService:
	"""Compares the cached schedules of the site at hand with the table."""

	@either_name
	def reconcile_cache_with_database(self, sample_size=10000, season=None) -> dict:
		"""Compare a sample of cached items. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "reconcile_cache_with_database", sample_size, season)

	def get_reconciliation_stats(self) -> list[dict]:
		"""Results of the last 30 runs. Not built yet: NotImplementedError (501)."""
		return engine.call(CLASS, "get_reconciliation_stats")


@either_name
def reconcile_cache_with_database(sample_size=10000, season=None) -> dict:
	"""See ``SRSReconciliationService.reconcile_cache_with_database``."""
	return SRSReconciliationService().reconcile_cache_with_database(sample_size, season)


def get_reconciliation_stats() -> list[dict]:
	"""See ``SRSReconciliationService.get_reconciliation_stats``."""
	return SRSReconciliationService().get_reconciliation_stats()
