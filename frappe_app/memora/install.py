"""Install, migrate, uninstall.

Frappe drops the tables of an app that is uninstalled. Ours hold what students did, so they are
put out of its way and back again, and a later installation finds them.
"""

import click
import frappe

from memora.services import srs_schema

TABLES = (
	"tabPlayer Memory Tracker",
	"tabArchived Memory Tracker",
	"tabGame Subscription Season",
	"tabGame Subject",
	"tabGame Topic",
)

# In front of a table's name while the app is being uninstalled.
KEPT = "memora kept "


def before_install() -> None:
	"""Put tables back that an interrupted uninstall left aside."""
	restore_tables()


def after_install() -> None:
	"""Give the tables their keys and partitions."""
	srs_schema.migrate()


def before_migrate() -> None:
	"""Put tables back that an interrupted uninstall left aside, before Frappe makes empty ones."""
	restore_tables()


def before_uninstall() -> None:
	"""Put the tables out of Frappe's way; not in a dry run, in which it drops nothing."""
	context = click.get_current_context(silent=True)
	if context and context.params.get("dry_run"):
		return
	_rename({table: KEPT + table for table in TABLES})


def after_uninstall() -> None:
	"""Put the tables back, without DocTypes now."""
	restore_tables()
	click.secho("The tables of Memora stay in the database, with all rows:", fg="yellow")
	for table in TABLES:
		print(f"* {table}")


def restore_tables() -> None:
	"""Give tables that were put aside their names again, unless one of that name has rows."""
	_drop_empty_twins()
	_rename({KEPT + table: table for table in TABLES})


def _drop_empty_twins() -> None:
	"""Of an aborted uninstall: tables that Frappe made anew while ours were aside."""
	tables = _tables()
	for table in TABLES:
		if (
			table in tables
			and KEPT + table in tables
			and not frappe.db.sql(f"SELECT 1 FROM `{table}` LIMIT 1")  # noqa: S608 (a constant)
		):
			frappe.db.sql_ddl(f"DROP TABLE `{table}`")


def _rename(names: dict[str, str]) -> None:
	"""Rename those tables that exist, where nothing has the new name; all in one statement."""
	tables = _tables()
	pairs = [(old, new) for old, new in names.items() if old in tables and new not in tables]
	if pairs:
		frappe.db.sql_ddl("RENAME TABLE " + ", ".join(f"`{old}` TO `{new}`" for old, new in pairs))
		frappe.cache().delete_value("db_tables")


def _tables() -> set[str]:
	return {row[0] for row in frappe.db.sql("SHOW TABLES")}
