"""Archive and reconciliation: the engine has neither, and nothing pretends otherwise."""

from memora.api import srs
from memora.services import srs_archiver, srs_reconciliation
from memora.services.srs_archiver import SRSArchiver
from memora.services.srs_reconciliation import SRSReconciliationService
from memora.tests.real_site import MemoraTestCase


class TestSRSArchiver(MemoraTestCase):
	def test_no_method_pretends(self):
		for place in (SRSArchiver(), srs_archiver):
			for method, args in {
				"archive_season": {"season": self.season},
				"process_auto_archive": {},
				"flag_eligible_for_deletion": {},
				"get_archive_status": {"season_name": self.season},
				"delete_eligible_records": {"season_name": self.season, "confirm": True},
			}.items():
				with self.subTest(place=place, method=method), self.refused(NotImplementedError):
					getattr(place, method)(**args)

	def test_no_web_method_pretends(self):
		for call in (
			lambda: srs.archive_season(self.season, confirm=True),
			lambda: srs.get_archive_status(season_name=self.season),
			lambda: srs.delete_eligible_archived_records(confirm="1"),
			lambda: srs.trigger_reconciliation(100),
		):
			with self.refused(NotImplementedError):
				call()


class TestSRSReconciliation(MemoraTestCase):
	def test_no_method_pretends(self):
		for place in (SRSReconciliationService(), srs_reconciliation):
			with self.refused(NotImplementedError):
				place.reconcile_cache_with_database(sample_size=100, season_name=self.season)
			with self.refused(NotImplementedError):
				place.get_reconciliation_stats()
