"""Names that existing code and operators use: each is there, with its parameters."""

import importlib
import inspect
import unittest

METHODS = {
	"memora.services.srs_redis_manager.SRSRedisManager": {
		"add_item": ["user", "season", "question_id", "next_review_ts", "ttl"],
		"get_due_items": ["user", "season", "limit"],
		"get_due_items_with_rehydration": ["user", "season", "limit"],
		"remove_item": ["user", "season", "question_id"],
		"is_available": [],
		"add_batch": ["user", "season", "items", "ttl"],
		"get_all_scores": ["user", "season"],
		"count_due_items": ["user", "season"],
		"clear_user_cache": ["user", "season"],
		"get_cache_stats": ["user", "season"],
		"_make_key": ["user", "season"],
		"rebuild_season_cache": ["season_name", "batch_size"],
		"get_rebuild_status": ["season_name"],
		"clear_season_cache": ["season_name"],
		"get_cache_status": [],
	},
	"memora.services.srs_persistence.SRSPersistenceService": {
		"persist_review_batch": ["responses", "user", "season", "retry_count"],
		"persist_single_review": ["response", "user", "season"],
		"get_persistence_status": ["job_id"],
		"_calculate_next_review": ["response"],
		"_audit_log": ["user", "season", "processed_count", "job_id", "error"],
	},
	"memora.services.srs_reconciliation.SRSReconciliationService": {
		"reconcile_cache_with_database": ["sample_size", "season"],
		"get_reconciliation_stats": [],
	},
	"memora.services.srs_archiver.SRSArchiver": {
		"archive_season": ["season_name"],
		"process_auto_archive": [],
		"flag_eligible_for_deletion": [],
		"get_archive_status": ["season_name"],
		"delete_eligible_records": ["season_name", "confirm"],
		"plan_archive": ["season_name"],
		"restore_season": ["season_name"],
		"get_archived_schedule": ["user", "season_name"],
		"count_eligible_records": ["season_name"],
	},
	"memora.services.partition_manager.PartitionManager": {
		"create_season_partition": ["season_name"],
		"check_partition_exists": ["season_name"],
		"is_table_partitioned": [],
		"get_all_partitions": [],
		"get_partition_stats": ["season_name"],
		"create_composite_index": [],
	},
	"memora.api.utils.SafeModeManager": {
		"is_safe_mode_active": [],
		"check_rate_limit": ["user"],
		"get_global_request_count": [],
		"get_user_last_request": ["user"],
		"reset_user_rate_limit": ["user"],
		"reset_global_rate_limit": [],
	},
}

FUNCTIONS = {
	"memora.api.reviews.get_review_session": ["subject", "limit", "season"],
	"memora.api.reviews.submit_review_session": ["responses", "submission_id"],
	"memora.api.reviews.get_active_season": [],
	"memora.api.reviews.get_reviews_safe_mode": ["user", "season", "subject", "limit"],
	"memora.api.srs.get_cache_status": [],
	"memora.api.srs.get_metrics": ["as_text"],
	"memora.api.srs.rebuild_season_cache": ["season", "season_name"],
	"memora.api.srs.trigger_reconciliation": ["sample_size", "season", "season_name"],
	"memora.api.srs.archive_season": ["season", "confirm", "season_name"],
	"memora.api.srs.get_archive_status": ["season", "season_name"],
	"memora.api.srs.delete_eligible_archived_records": ["season", "confirm", "season_name"],
	"memora.services.safe_mode_notices.tell": ["event", "began_at", "ended_at"],
	"memora.services.srs_reconciliation.tell": ["report"],
	"memora.services.srs_reconciliation.enqueue_reconciliation": [],
	"memora.services.srs_persistence.fill_question_info": ["user", "season", "question_ids"],
	"memora.services.srs_persistence.persist_review_batch": ["responses", "user", "season", "retry_count"],
	"memora.patches.v1_0.fix_null_seasons.execute": [],
	"memora.patches.v1_0.setup_partitioning.execute": [],
	"memora.patches.v1_0.add_safe_mode_index.execute": [],
}


def find(path: str):
	"""What a dotted path names, as Frappe finds it."""
	module, name = path.rsplit(".", 1)
	return getattr(importlib.import_module(module), name)


class TestPaths(unittest.TestCase):
	def assert_takes(self, function, parameters):
		"""More may follow: callers name what comes after these."""
		self.assertEqual(list(inspect.signature(function).parameters)[: len(parameters)], parameters)

	def test_methods(self):
		for path, methods in METHODS.items():
			instance = find(path)()
			for name, parameters in methods.items():
				with self.subTest(f"{path}.{name}"):
					self.assert_takes(getattr(instance, name), parameters)

	def test_every_public_method_is_a_function_of_its_module(self):
		for path, methods in METHODS.items():
			module = path.rsplit(".", 1)[0]
			for name, parameters in methods.items():
				if not name.startswith("_"):
					with self.subTest(f"{module}.{name}"):
						self.assert_takes(find(f"{module}.{name}"), parameters)

	def test_functions(self):
		for path, parameters in FUNCTIONS.items():
			with self.subTest(path):
				self.assert_takes(find(path), parameters)
