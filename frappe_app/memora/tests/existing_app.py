"""Our parts over another app called memora, on a real site: python -m memora.tests.existing_app SITE

Run it in a bench's folder ``sites`` with the bench's Python. It writes a small app of that name
into a temporary folder, as a platform had it before: DocTypes without our fields, web methods of
its own. Installs it on the site, makes rows, lays over what docs/EXISTING_APP.md says, migrates,
and checks that the engine serves it. The site must have ``allow_tests`` and must not have our app;
the bench's other processes do not see the small app. Exit code 1 if something is not so.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import frappe

import memora
from memora.tests.schema_life import DOCTYPES

OURS = Path(memora.__file__).parent

# What docs/EXISTING_APP.md says to lay over.
LAID_OVER = ("services", "api/utils.py", "patches/v1_0", "public/js/memora_engine_alert.js")

# Fields that the other app's DocTypes do not have.
UNKNOWN = {"review_version", "archived_on", "eligible_for_deletion", "infrastructure_html"}

# What docs/EXISTING_APP.md has the scheduler do.
JOBS = [
	"memora.services.srs_archiver.enqueue_auto_archive",
	"memora.services.srs_archiver.enqueue_retention",
	"memora.services.srs_reconciliation.enqueue_reconciliation",
	"memora.services.srs_sweeper.enqueue_sweep",
]

HOOKS = (
	'app_name = "memora"\napp_title = "Memora"\napp_publisher = "x"\napp_description = "x"\napp_email = "x"\n'
)

METHOD = '''import frappe

from memora.services.srs_redis_manager import SRSRedisManager


@frappe.whitelist()
def due(season):
	"""A web method that the other app has had all along."""
	questions, refilled = SRSRedisManager().get_due_items_with_rehydration(frappe.session.user, season)
	return {"questions": questions, "mine": True}
'''

# What is asked of the site once our parts are there; prints JSON.
QUESTIONS = """
import json, sys
import frappe
frappe.init(site=sys.argv[1])
frappe.connect()
# Of this site alone: two sites must not share keys in a Redis.
season = f"SEASON-{frappe.local.site}"
frappe.get_doc(doctype="Game Subscription Season", season_name=season, is_active=1).insert()
frappe.db.commit()
row = frappe.get_doc(doctype="Player Memory Tracker", player="Administrator", season=season,
	question_id="Q-NEW", stability=1, next_review_date="2020-01-01 10:00:00").insert()
frappe.db.commit()
first = frappe.db.get_value("Player Memory Tracker", row.name, "review_version")
from memora.api.mine import due
from memora.services.partition_manager import PartitionManager
before = due(season)
row.next_review_date = "2999-01-01 10:00:00"
row.save()
frappe.db.commit()
frappe.call("memora.services.srs_documents.call_pending")  # as at the end of a request
print(json.dumps({
	"partition": PartitionManager().check_partition_exists(season),
	"created": frappe.db.get_value("Game Subscription Season", season, "partition_created"),
	"versions": [first, frappe.db.get_value("Player Memory Tracker", row.name, "review_version")],
	"name_length": len(row.name),
	"due": [before, due(season)],
	"rows": frappe.db.sql("SELECT player, season, question_id FROM `tabPlayer Memory Tracker` ORDER BY 3"),
	"jobs": frappe.get_all("Scheduled Job Type", {"method": ["like", "memora.%"]}, pluck="method"),
}))
"""


class Bench:
	"""Commands of Frappe that see the app below ``folder`` as memora."""

	def __init__(self, site: str, folder: Path):
		self.site = site
		path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
		self.environment = {**os.environ, "PYTHONPATH": path}

	def python(self, *args: str) -> str:
		"""Run the bench's Python; what it printed. Ends the run if it fails."""
		done = subprocess.run(  # noqa: S603
			[sys.executable, *args], capture_output=True, text=True, env=self.environment
		)
		if done.returncode:
			sys.exit(f"{' '.join(args)} failed:\n{done.stdout}{done.stderr}")
		return done.stdout

	def __call__(self, *args: str) -> str:
		return self.python("-m", "frappe.utils.bench_helper", "frappe", "--site", self.site, *args)


def write_app(app: Path) -> None:
	"""The small app: modules, DocTypes of an older shape, a web method."""
	module = app / "memora"
	for package in (app, app / "api", app / "services", app / "patches", module, module / "doctype"):
		package.mkdir(parents=True, exist_ok=True)
		(package / "__init__.py").write_text('__version__ = "9.0.0"\n' if package == app else "")
	(app / "hooks.py").write_text(HOOKS)
	(app / "modules.txt").write_text("Memora\n")
	(app / "patches.txt").write_text("[pre_model_sync]\n\n[post_model_sync]\n")
	(app / "api" / "mine.py").write_text(METHOD)
	for doctype in DOCTYPES:
		write_doctype(module / "doctype", doctype)


def write_doctype(folder: Path, doctype: str) -> None:
	"""One of our DocTypes without the fields of ours, and with a controller that does nothing."""
	name = doctype.lower().replace(" ", "_")
	text = json.loads((OURS / "memora" / "doctype" / name / f"{name}.json").read_text())
	text["fields"] = [field for field in text["fields"] if field["fieldname"] not in UNKNOWN]
	text["field_order"] = [field["fieldname"] for field in text["fields"]]
	if text["naming_rule"] == "By script":
		text.update(naming_rule="Random", autoname="hash")
	(folder / name).mkdir()
	(folder / name / "__init__.py").write_text("")
	(folder / name / f"{name}.json").write_text(json.dumps(text))
	imports = "from frappe.model.document import Document\n"
	controller = f"{imports}\n\nclass {doctype.replace(' ', '')}(Document):\n\tpass\n"
	(folder / name / f"{name}.py").write_text(controller)


def lay_over(app: Path) -> None:
	"""What docs/EXISTING_APP.md tells the other app's owner to do."""
	for part in LAID_OVER:
		source, target = OURS / part, app / part
		target.parent.mkdir(parents=True, exist_ok=True)
		if source.is_dir():
			shutil.copytree(source, target, dirs_exist_ok=True)
		else:
			shutil.copy(source, target)
	with (app / "hooks.py").open("a") as hooks:
		hooks.write(documented("python"))
	with (app / "patches.txt").open("a") as patches:
		patches.write(documented("text"))


def documented(language: str) -> str:
	"""The block of this language in docs/EXISTING_APP.md, so that the document is what is tried."""
	text = (OURS.parent.parent / "docs" / "EXISTING_APP.md").read_text()
	return text.split(f"```{language}\n")[1].split("```")[0]


def old_rows(bench: Bench) -> None:
	"""Rows of the other app: two of one question, one without a season."""
	insert = """INSERT INTO `tabPlayer Memory Tracker`
		(name, player, season, question_id, stability, last_review_date) VALUES
		('a', 'Administrator', NULL, 'Q-1', 1, '2026-01-01'),
		('b', 'Administrator', 'SEASON-OLD', 'Q-2', 1, '2026-01-01'),
		('c', 'Administrator', 'SEASON-OLD', 'Q-2', 2, '2026-01-02')"""
	bench.python(
		"-c",
		"import frappe, sys; frappe.init(site=sys.argv[1]); frappe.connect(); frappe.db.sql(sys.argv[2]);"
		"frappe.db.commit()",
		bench.site,
		insert,
	)


def main(site: str) -> int:
	"""Try it; 0 if all is as it should be."""
	frappe.init(site=site)
	frappe.connect()
	if not frappe.conf.allow_tests or "memora" in frappe.get_installed_apps():
		sys.exit(f"{site}: must have allow_tests and must not have memora")
	frappe.destroy()
	with tempfile.TemporaryDirectory() as folder:
		app = Path(folder) / "memora"
		bench = Bench(site, Path(folder))
		write_app(app)
		bench("install-app", "memora")
		old_rows(bench)
		lay_over(app)
		bench("migrate")
		answer = json.loads(bench.python("-c", QUESTIONS, site).splitlines()[-1])
		bench("migrate")
	print(json.dumps(answer, indent=1))
	return 0 if is_right(answer, f"SEASON-{site}") else 1


def is_right(answer: dict, season: str) -> bool:
	"""Compare what the site said with what it should say."""
	first, second = answer["versions"]
	expected = [
		["Administrator", "SEASON-DEFAULT", "Q-1"],
		["Administrator", "SEASON-OLD", "Q-2"],
		["Administrator", season, "Q-NEW"],
	]
	due = [{"questions": ["Q-NEW"], "mine": True}, {"questions": [], "mine": True}]
	checks = {
		"the season's partition": answer["partition"] and answer["created"] == 1,
		"versions of edits": 0 < first < second,
		"names of rows": answer["name_length"] == 26,
		"what is due before and after an edit": answer["due"] == due,
		"rows after the migration": answer["rows"] == expected,
		"what the scheduler does": sorted(answer["jobs"]) == JOBS,
	}
	for what, is_so in checks.items():
		print(f"{'ok  ' if is_so else 'FAIL'} {what}")
	return all(checks.values())


if __name__ == "__main__":
	sys.exit(main(*sys.argv[1:]))
