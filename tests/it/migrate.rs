//! Migration and partitions on a real MariaDB: whatever a site's tables look like, they
//! end the same.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "migrate/old_sites.rs"]
mod old_sites;
#[path = "migrate/partitions.rs"]
mod partitions;
#[path = "migrate/stopped.rs"]
mod stopped;

use chrono::{NaiveDate, NaiveDateTime};
use memora_core::Result;
use memora_core::servers::mariadb::MariaDb;
use memora_core::store::migrate::{self, Options, Plan, Report};
use memora_tests::TestSite;

const TRACKER: &str = "tabPlayer Memory Tracker";
const ARCHIVE: &str = "tabArchived Memory Tracker";
const SEASONS: &str = "tabGame Subscription Season";

/// The engine's connections to a site's database: one process.
fn engine(site: &TestSite) -> MariaDb {
    MariaDb::new(&site.config().db, 4)
}

/// A day within SEASON-2026 of [`old_site`].
fn now() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 1, 19)
        .and_then(|d| d.and_hms_opt(10, 0, 0))
        .unwrap()
}

async fn run(site: &TestSite) -> Result<Report> {
    let mut options = Options::at(now());
    // Small, so that a few rows take several rounds.
    options.chunk = 2;
    migrate::run(&engine(site), &options, |_| {}).await
}

async fn plan(site: &TestSite) -> Plan {
    migrate::plan(&engine(site), now()).await.unwrap()
}

async fn definition(site: &TestSite, table: &str) -> String {
    let (_, create): (String, String) = site
        .query_one(&format!("SHOW CREATE TABLE `{table}`"), ())
        .await
        .unwrap();
    create
}

/// A table's definition without the list of its partitions.
async fn shape(site: &TestSite, table: &str) -> String {
    let create = definition(site, table).await;
    let (shape, partitions) = create.split_once(" PARTITION BY ").unwrap();
    assert!(
        partitions.starts_with("LIST  COLUMNS(`season`)"),
        "{partitions}"
    );
    shape.to_owned()
}

async fn seasons_with_partition(site: &TestSite, table: &str) -> Vec<String> {
    let mut seasons: Vec<String> = site
        .query(
            "SELECT partition_description FROM information_schema.partitions \
             WHERE table_schema = DATABASE() AND table_name = ?",
            (table,),
        )
        .await;
    seasons.sort();
    seasons
}

async fn add_season(site: &TestSite, name: &str, start: &str, end: &str, is_active: bool) {
    site.exec(
        "INSERT INTO `tabGame Subscription Season` (name, season_name, title, start_date, \
         end_date, is_active) VALUES (?, ?, ?, ?, ?, ?)",
        (name, name, name, start, end, is_active),
    )
    .await;
}

/// A row as the old implementation wrote it; its stability tells rows apart.
async fn add_row(
    site: &TestSite,
    table: &str,
    name: &str,
    key: (&str, Option<&str>, &str),
    last_review: &str,
    stability: f64,
) {
    let (player, season, question) = key;
    site.exec(
        &format!(
            "INSERT INTO `{table}` (name, creation, modified, player, season, question_id, \
             stability, next_review_date, last_review_date) \
             VALUES (?, ?, ?, ?, ?, ?, ?, '2026-02-01', ?)"
        ),
        (
            name,
            last_review,
            last_review,
            player,
            season,
            question,
            stability,
            last_review,
        ),
    )
    .await;
}

/// What [`old_site`] must become: player, season, question, stability.
const MIGRATED: [(&str, &str, &str, f64); 7] = [
    ("ann", "SEASON-2025", "Q-1", 2.0),
    ("ann", "SEASON-2026", "Q-1", 3.0),
    ("ann", "SEASON-2026", "Q-2", 1.0),
    ("ann", "SEASON-2026", "Q-3", 2.5),
    ("ann", "SEASON-2026", "Q-4", 1.5),
    ("bob", "SEASON-2026", "Q-1", 0.5),
    ("bob", "it's \\ 😀", "Q-1", 1.0),
];

/// A site as the old implementation left it: rows without a season, several rows of one
/// question, spellings that MariaDB takes for one, a season nobody declared.
async fn old_site() -> TestSite {
    let site = TestSite::builder().unmigrated().build().await;
    fill_old_site(&site).await;
    site
}

async fn fill_old_site(site: &TestSite) {
    // Both are active: the one that today is within wins, though the other starts later.
    add_season(site, "SEASON-2026", "2026-01-01", "2026-12-31", true).await;
    add_season(site, "SEASON-2027", "2027-01-01", "2027-12-31", true).await;
    add_season(site, "it's \\ 😀", "2024-01-01", "2024-12-31", false).await;
    let rows = [
        ("r01", "ann", Some("SEASON-2025"), "Q-1", "2025-05-01", 2.0),
        ("r02", "ann", Some("SEASON-2026"), "Q-1", "2026-01-01", 1.0),
        ("r03", "ann", Some("season-2026 "), "q-1", "2026-01-09", 3.0),
        ("r04", "ANN", None, "Q-1", "2026-01-05", 4.0),
        ("r05", "ann", None, "Q-2", "2026-01-05", 1.0),
        ("r06", "ann", Some(""), "Q-3", "2026-01-05", 0.5),
        ("r07", "ann", None, "Q-3", "2026-01-06", 2.5),
        ("r08", "bob", None, "Q-1", "2026-01-05", 0.5),
        ("r09", "bob", Some("it's \\ 😀"), "Q-1", "2024-01-05", 1.0),
        // Reviewed at the same time: the higher stability wins.
        ("r10", "ann", Some("SEASON-2026"), "Q-4", "2026-01-05", 1.5),
        ("r11", "ann", Some("SEASON-2026"), "Q-4", "2026-01-05", 0.5),
    ];
    for (name, player, season, question, last, stability) in rows {
        let key = (player, season, question);
        add_row(site, TRACKER, name, key, last, stability).await;
    }
    add_row(site, ARCHIVE, "a1", ("ann", None, "Q-1"), "2023-01-05", 1.0).await;
    add_row(
        site,
        ARCHIVE,
        "a2",
        ("ann", Some("SEASON-2023"), "Q-1"),
        "2023-01-05",
        1.0,
    )
    .await;
}

/// The rows of the tracker, sorted, names folded as MariaDB compares them.
async fn rows(site: &TestSite) -> Vec<(String, String, String, f64)> {
    let mut rows: Vec<(String, String, String, f64)> = site
        .query(
            &format!(
                "SELECT LOWER(player), TRIM(season), UPPER(question_id), \
                 CAST(stability AS double) FROM `{TRACKER}`"
            ),
            (),
        )
        .await;
    for row in &mut rows {
        if row.1 == "season-2026" {
            row.1 = "SEASON-2026".to_owned();
        }
    }
    rows.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
    rows
}

/// Whether an [`old_site`] has become what it must.
async fn assert_migrated(site: &TestSite) {
    let expected: Vec<_> = MIGRATED
        .iter()
        .map(|(p, s, q, stability)| (p.to_string(), s.to_string(), q.to_string(), *stability))
        .collect();
    assert_eq!(rows(site).await, expected);
    let archived: Vec<(String, String)> = site
        .query(
            &format!("SELECT name, season FROM `{ARCHIVE}` ORDER BY name"),
            (),
        )
        .await;
    assert_eq!(
        archived,
        [
            ("a1".to_owned(), "SEASON-DEFAULT".to_owned()),
            ("a2".to_owned(), "SEASON-2023".to_owned())
        ]
    );
    assert_eq!(
        seasons_with_partition(site, TRACKER).await,
        [
            "'SEASON-2025'",
            "'SEASON-2026'",
            "'SEASON-2027'",
            "'SEASON-DEFAULT'",
            // Not three-byte UTF-8, so the server writes it as hexadecimal digits.
            "_utf8mb4 0x69742773205c20f09f9880",
        ]
    );
    assert_eq!(
        seasons_with_partition(site, ARCHIVE).await,
        ["'SEASON-2023'", "'SEASON-DEFAULT'"]
    );
    let created: Vec<(String, bool)> = site
        .query(
            &format!("SELECT name, partition_created FROM `{SEASONS}` ORDER BY name"),
            (),
        )
        .await;
    assert!(created.iter().all(|(_, created)| *created), "{created:?}");
    assert_eq!(created.len(), 4);
    let again = plan(site).await;
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn a_fresh_site_gets_the_schema() {
    let site = TestSite::builder().unmigrated().build().await;
    let report = run(&site).await.unwrap();
    assert_eq!(report.tables_made.len(), 4);
    assert_eq!(report.season_for_rows, "SEASON-DEFAULT");

    let tracker = shape(&site, TRACKER).await;
    for line in [
        "`season` varchar(140) NOT NULL,",
        "`review_version` bigint(20) NOT NULL DEFAULT 0,",
        "PRIMARY KEY (`name`,`season`),",
        "UNIQUE KEY `uq_pmt_player_season_question` (`player`,`season`,`question_id`),",
        "KEY `modified` (`modified`),",
        "KEY `idx_pmt_player_season_review` (`player`,`season`,`next_review_date`)\n",
    ] {
        assert!(tracker.contains(line), "{line}\nis not in\n{tracker}");
    }
    assert_eq!(tracker.matches("KEY").count(), 4, "{tracker}");
    let archive = shape(&site, ARCHIVE).await;
    for line in [
        "`season` varchar(140) NOT NULL,",
        "`review_version` bigint(20) NOT NULL DEFAULT 0,",
        "`archived_at` datetime(6)",
        "PRIMARY KEY (`name`,`season`),",
        "UNIQUE KEY `uq_amt_player_season_question` (`player`,`season`,`question_id`),",
        "KEY `modified` (`modified`),",
        "KEY `player` (`player`),",
        "KEY `season` (`season`),",
        "KEY `archived_at` (`archived_at`)\n",
    ] {
        assert!(archive.contains(line), "{line}\nis not in\n{archive}");
    }
    assert_eq!(archive.matches("KEY").count(), 6, "{archive}");
    let seasons = definition(&site, SEASONS).await;
    assert!(seasons.contains("`archived_on` datetime(6) DEFAULT NULL"));
    for table in [TRACKER, ARCHIVE] {
        assert_eq!(
            definition(&site, table)
                .await
                .matches("PARTITION `")
                .count(),
            1
        );
        assert_eq!(
            seasons_with_partition(&site, table).await,
            ["'SEASON-DEFAULT'"]
        );
    }
    let default: (bool, String, bool) = site
        .query_one(
            &format!(
                "SELECT is_active, CAST(creation AS char), partition_created \
                 FROM `{SEASONS}` WHERE name = 'SEASON-DEFAULT'"
            ),
            (),
        )
        .await
        .unwrap();
    assert_eq!(
        default,
        (false, "2026-01-19 10:00:00.000000".to_owned(), true)
    );
    let journal = definition(&site, "memora_srs_journal").await;
    assert!(journal.contains("PRIMARY KEY (`player`,`submission_id`)"));
    assert!(!run(&site).await.unwrap().changed());
}

#[tokio::test]
async fn an_old_site_ends_as_a_fresh_one_with_its_best_rows() {
    let (old, fresh) = tokio::join!(old_site(), TestSite::new());
    let report = run(&old).await.unwrap();
    assert_eq!(report.season_for_rows, "SEASON-2026");
    assert_eq!(report.resumed_at, None);
    let tracker = report.tables.iter().find(|t| t.table == TRACKER).unwrap();
    assert_eq!(tracker.rows_given_season, 5);
    assert_eq!(tracker.rows_merged, 4);
    let rebuilds = tracker.changes.iter().filter(|c| c.contains("PARTITION"));
    assert_eq!(rebuilds.count(), 1, "{:?}", tracker.changes);

    assert_migrated(&old).await;
    for table in [TRACKER, ARCHIVE] {
        assert_eq!(shape(&old, table).await, shape(&fresh, table).await);
    }
    for table in [
        SEASONS,
        "memora_srs_journal",
        "memora_srs_audit",
        "memora_srs_review_log",
        "memora_srs_state",
    ] {
        assert_eq!(
            definition(&old, table).await,
            definition(&fresh, table).await
        );
    }
    let before = everything(&old).await;
    assert!(!run(&old).await.unwrap().changed());
    assert_eq!(everything(&old).await, before);
}

#[tokio::test]
async fn a_journal_of_the_first_version_gets_what_came_later() {
    let (old, fresh) = tokio::join!(TestSite::new(), TestSite::new());
    let insert = "INSERT INTO memora_srs_journal \
                  (player, submission_id, attempt, fingerprint, season, payload) \
                  VALUES ('ann@example.com', 's-1', '', '', 'S', '{}')";
    old.exec(insert, ()).await;
    old.exec(
        "ALTER TABLE memora_srs_journal DROP INDEX idx_journal_work, DROP INDEX idx_journal_job, \
         DROP COLUMN job_hash, ADD INDEX idx_journal_next_try (next_try_at)",
        (),
    )
    .await;
    let site = old.site().await;
    let plan = migrate::plan(&site.db, now()).await.unwrap();
    assert_eq!(plan.tables[0].table, "memora_srs_journal");
    assert_eq!((plan.tables[0].rows, plan.tables[0].changes.len()), (1, 3));

    assert!(run(&old).await.unwrap().changed());

    let journal = "memora_srs_journal";
    let shapes = (
        definition(&old, journal).await,
        definition(&fresh, journal).await,
    );
    assert_eq!(shapes.0, shapes.1);
    let hash: Option<String> = old
        .query_one("SELECT LOWER(HEX(job_hash)) FROM memora_srs_journal", ())
        .await;
    let id = memora_core::queue::persistence_job_id(
        &old.name,
        2,
        &memora_core::types::Player::stored("ann@example.com"),
        &memora_core::types::SubmissionId::parse("id", "s-1").unwrap(),
    );
    assert!(id.ends_with(&hash.unwrap()), "{id}");
    assert!(!run(&old).await.unwrap().changed());
}

/// Definitions and checksums of all tables but the record of the migration itself.
async fn everything(site: &TestSite) -> Vec<(String, Option<i64>)> {
    let tables: Vec<String> = site
        .query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name <> 'memora_srs_state' ORDER BY table_name",
            (),
        )
        .await;
    let mut all = Vec::new();
    for table in tables {
        let sum: Option<(String, Option<i64>)> = site
            .query_one(&format!("CHECKSUM TABLE `{table}` EXTENDED"), ())
            .await;
        all.push((definition(site, &table).await, sum.and_then(|(_, sum)| sum)));
    }
    all
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let site = old_site().await;
    let before = everything(&site).await;
    let plan = plan(&site).await;
    assert_eq!(everything(&site).await, before);

    assert_eq!(plan.problems, Vec::<String>::new());
    assert_eq!(plan.unfinished, None);
    assert_eq!(plan.season_for_rows, "SEASON-2026");
    assert_eq!(plan.tables_to_make.len(), 4);
    let tracker = plan.tables.iter().find(|t| t.table == TRACKER).unwrap();
    assert_eq!(tracker.rows, 11);
    assert_eq!(tracker.without_season, 5);
    assert_eq!(tracker.duplicate_questions, 3);
    assert_eq!(tracker.duplicate_rows, 4);
    assert!(tracker.rebuilds);
    assert_eq!(
        tracker.seasons.iter().map(|(_, n)| n).sum::<u64>(),
        6,
        "{:?}",
        tracker.seasons
    );
    assert!(
        tracker
            .changes
            .contains(&"ADD COLUMN `review_version`".to_owned()),
        "{:?}",
        tracker.changes
    );
    assert!(plan.estimate.as_secs() < 60);
}
