"""Tables as an app before this one had them: no key by season, seasons missing, questions twice.

Captured from a Frappe 15 site. Their DocTypes had no review_version, no archived_on, a default for
archived_at, and an index on stability that nobody declared.
"""

FRAPPE = """`name` varchar(140) NOT NULL,
	`creation` datetime(6) DEFAULT NULL,
	`modified` datetime(6) DEFAULT NULL,
	`modified_by` varchar(140) DEFAULT NULL,
	`owner` varchar(140) DEFAULT NULL,
	`docstatus` int(1) NOT NULL DEFAULT 0,
	`idx` int(8) NOT NULL DEFAULT 0,"""

COMMENTS = """`_user_tags` text DEFAULT NULL,
	`_comments` text DEFAULT NULL,
	`_assign` text DEFAULT NULL,
	`_liked_by` text DEFAULT NULL,
	PRIMARY KEY (`name`),
	KEY `modified` (`modified`)"""

TABLE = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ROW_FORMAT=DYNAMIC"

TABLES = {
	"tabPlayer Memory Tracker": f"""{FRAPPE}
		`player` varchar(140) DEFAULT NULL,
		`subject` varchar(140) DEFAULT NULL,
		`topic` varchar(140) DEFAULT NULL,
		`question_id` varchar(140) DEFAULT NULL,
		`stability` decimal(21,9) NOT NULL DEFAULT 0.000000000,
		`next_review_date` datetime(6) DEFAULT NULL,
		`last_review_date` datetime(6) DEFAULT NULL,
		`season` varchar(140) DEFAULT NULL,
		{COMMENTS}, KEY `stability` (`stability`)""",
	"tabArchived Memory Tracker": f"""{FRAPPE}
		`player` varchar(140) DEFAULT NULL,
		`season` varchar(140) DEFAULT NULL,
		`question_id` varchar(140) DEFAULT NULL,
		`stability` decimal(21,9) NOT NULL DEFAULT 0.000000000,
		`next_review_date` datetime(6) DEFAULT NULL,
		`last_review_date` datetime(6) DEFAULT NULL,
		`subject` varchar(140) DEFAULT NULL,
		`topic` varchar(140) DEFAULT NULL,
		`archived_at` datetime(6) DEFAULT '2026-01-19 00:00:00.000000',
		`eligible_for_deletion` int(1) NOT NULL DEFAULT 0,
		{COMMENTS}""",
	"tabGame Subscription Season": f"""{FRAPPE}
		`season_name` varchar(140) DEFAULT NULL,
		`title` varchar(140) DEFAULT NULL,
		`start_date` date DEFAULT NULL,
		`end_date` date DEFAULT NULL,
		`is_active` int(1) NOT NULL DEFAULT 0,
		`partition_created` int(1) NOT NULL DEFAULT 0,
		`enable_redis` int(1) NOT NULL DEFAULT 1,
		`auto_archive` int(1) NOT NULL DEFAULT 0,
		{COMMENTS}, UNIQUE KEY `season_name` (`season_name`), KEY `end_date` (`end_date`)""",
	"tabGame Subject": f"{FRAPPE} `title` varchar(140) DEFAULT NULL, {COMMENTS}",
	"tabGame Topic": f"""{FRAPPE}
		`title` varchar(140) DEFAULT NULL, `subject` varchar(140) DEFAULT NULL, {COMMENTS}""",
}

# Rows without a season, of the active one (also those), of another one, and questions with three
# rows, of which the one reviewed last has stability 3.
NULL, OTHER, TWICE = 40, 30, 20
ACTIVE = NULL + TWICE
QUESTIONS = ACTIVE + OTHER


def create(db) -> None:
	"""Replace the tables by old ones with rows. ``db``: Frappe's."""
	for table, body in TABLES.items():
		db.sql_ddl(f"DROP TABLE IF EXISTS `{table}`")
		db.sql_ddl(f"CREATE TABLE `{table}` ({body}) {TABLE}")
	for season, active in (("SEASON-2025", 0), ("SEASON-2026", 1)):
		db.sql(
			"""INSERT INTO `tabGame Subscription Season`
			(name, season_name, is_active, start_date, creation, modified)
			VALUES (%s, %s, %s, '2026-01-01', NOW(6), NOW(6))""",
			(season, season, active),
		)
	rows = [("null", None, i, 1, 1) for i in range(NULL)]
	rows += [("other", "SEASON-2025", i, 1, 1) for i in range(OTHER)]
	rows += [("twice", "SEASON-2026", i, day, day) for i in range(TWICE) for day in (2, 3, 1)]
	for kind, season, i, day, stability in rows:
		_insert(db, f"{kind}-{i}-{day}", season, f"Q-{kind.upper()}-{i}", day, stability)


def _insert(db, name: str, season: str | None, question: str, day: int, stability: int) -> None:
	moment = f"2026-01-0{day} 10:00:00"
	db.sql(
		"""INSERT INTO `tabPlayer Memory Tracker` (name, creation, modified, player, season, question_id,
		stability, next_review_date, last_review_date)
		VALUES (%s, %s, %s, 'Administrator', %s, %s, %s, %s, %s)""",
		(name, moment, moment, season, question, stability, moment, moment),
	)


def forget_version(db) -> None:
	"""Make the site's DocTypes those of an older version, whose patches have not run."""
	db.sql("DELETE FROM `tabPatch Log` WHERE patch LIKE 'memora.patches.%'")
	for doctype in [table.removeprefix("tab") for table in TABLES]:
		db.sql(
			"""DELETE FROM `tabDocField` WHERE parent = %s
			AND fieldname IN ('review_version', 'archived_on', 'eligible_for_deletion')""",
			doctype,
		)
		db.sql(
			"""UPDATE `tabDocType` SET migration_hash = NULL, modified = '2020-01-01' WHERE name = %s""",
			doctype,
		)
