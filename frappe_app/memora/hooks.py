"""What Frappe calls, and when. Works on Frappe 14 to 16."""

app_name = "memora"
app_title = "Memora"
app_publisher = "Memora"
app_description = "Spaced repetition: which questions a student is due to review, and what came of it"
app_email = "memora@example.com"
app_license = "MIT"

# Install, migrate, uninstall: the schema
before_install = "memora.install.before_install"
after_install = "memora.install.after_install"
before_migrate = ["memora.install.before_migrate"]
after_migrate = ["memora.services.srs_schema.migrate"]
before_uninstall = "memora.install.before_uninstall"
after_uninstall = "memora.install.after_uninstall"

# Desk: an alert for administrators when the engine is missing or of another version
app_include_js = ["/assets/memora/js/memora_engine_alert.js"]
extend_bootinfo = ["memora.services.srs_desk.extend_bootinfo"]

# Errors of the engine: the header Retry-After. Frappe 14: what follows the commit
after_request = [
	"memora.services.engine.add_retry_after",
	"memora.services.srs_documents.call_pending",
]

# Documents
doc_events = {
	"Game Subscription Season": {
		"after_insert": "memora.services.srs_documents.season_inserted",
		"before_rename": "memora.services.srs_documents.season_renames",
		"on_update": "memora.services.srs_rebuild.season_saved",
	},
	"Player Memory Tracker": {
		"autoname": "memora.services.srs_documents.name_tracker",
		"before_save": "memora.services.srs_documents.tracker_changes",
		"on_update": "memora.services.srs_documents.tracker_changed",
		"after_delete": "memora.services.srs_documents.tracker_deleted",
	},
	"Archived Memory Tracker": {
		"autoname": "memora.services.srs_documents.name_tracker",
	},
	"User": {
		"before_rename": "memora.services.srs_documents.user_renames",
		"after_rename": "memora.services.srs_documents.user_renamed",
		"after_delete": "memora.services.srs_documents.user_deleted",
	},
}

# Only enqueues.
scheduler_events = {
	"cron": {
		"*/3 * * * *": ["memora.services.srs_sweeper.enqueue_sweep"],
		"0 2 * * 0": ["memora.services.srs_archiver.enqueue_retention"],
	},
	"daily": [
		"memora.services.srs_reconciliation.enqueue_reconciliation",
		"memora.services.srs_archiver.enqueue_auto_archive",
	],
}
