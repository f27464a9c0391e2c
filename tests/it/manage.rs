//! What operators and Frappe's hooks ask of partitions and schema.

use std::sync::Mutex;
use std::time::Duration;

use memora_core::ErrorKind;
use memora_core::services::{partitions, schema};
use memora_core::types::UtcMicros;
use memora_tests::{Due, TestSite, wait};
use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use tokio::time::Instant;

use crate::story::ANN;

const TRACKER: &str = "tabPlayer Memory Tracker";
const INDEX: &str = "idx_pmt_player_season_review";
const ADD_SEASON: &str = "INSERT INTO `tabGame Subscription Season` (name, season_name) \
                          VALUES ('SEASON-X', 'SEASON-X')";

async fn is_noted(test: &TestSite) -> bool {
    let sql = "SELECT partition_created FROM `tabGame Subscription Season` \
               WHERE name = 'SEASON-X'";
    test.query_one(sql, ()).await.unwrap()
}

async fn table(test: &TestSite) -> String {
    let (_, create): (String, String) = test
        .query_one(&format!("SHOW CREATE TABLE `{TRACKER}`"), ())
        .await
        .unwrap();
    create
}

#[tokio::test]
async fn a_season_gets_one_partition_in_its_own_spelling() {
    let test = TestSite::new().await;
    let site = test.site().await;
    let unknown = partitions::create(&site, "SEASON-X", true).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    let nameless = partitions::create(&site, " ", true).await;
    assert_eq!(nameless.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unknown = partitions::stats(&site, Some("SEASON-X")).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!partitions::exists(&site, "SEASON-X").await.unwrap());

    test.exec(ADD_SEASON, ()).await;
    let none = partitions::stats(&site, Some("SEASON-X")).await.unwrap();
    assert_eq!(none, []);
    assert!(partitions::create(&site, "season-x", true).await.unwrap());
    assert!(!partitions::create(&site, "SEASON-X", true).await.unwrap());
    assert!(is_noted(&test).await);
    assert!(partitions::exists(&site, "Season-X").await.unwrap());
    let all = partitions::all(&site).await.unwrap();
    let seasons: Vec<_> = all.iter().map(|p| p.season.as_deref()).collect();
    assert_eq!(seasons, [Some("SEASON-DEFAULT"), Some("SEASON-X")]);
    assert_eq!(partitions::stats(&site, None).await.unwrap(), all);

    test.add_questions(ANN, "SEASON-X", 50, Due::All).await;
    test.exec(&format!("ANALYZE TABLE `{TRACKER}`"), ()).await;
    let stats = partitions::stats(&site, Some("season-x")).await.unwrap();
    assert_eq!(stats.len(), 1);
    assert_eq!(stats[0].partition_name, "p_season_x");
    assert_eq!(stats[0].season.as_deref(), Some("SEASON-X"));
    assert_eq!(stats[0].rows, 50);
    assert!(stats[0].data_bytes > 0 && stats[0].index_bytes > 0);
}

#[tokio::test]
async fn a_table_being_changed_does_not_pass_for_one_without_partitions() {
    let test = TestSite::new().await;
    let site = test.site().await;
    test.exec("CREATE TABLE zz_held (n INT) ENGINE=InnoDB", ())
        .await;
    let mut holder = test.db.get_conn().await.unwrap();
    let mut tx = holder.start_transaction(TxOpts::new()).await.unwrap();
    tx.query_drop("SELECT * FROM zz_held").await.unwrap();
    // Locks the tracker exclusively, then waits for whoever reads the other table.
    let renaming = tokio::spawn({
        let mut conn = test.db.get_conn().await.unwrap();
        let names = format!("`{TRACKER}` TO zz_away, zz_away TO `{TRACKER}`, zz_held TO zz_free");
        async move { conn.query_drop(format!("RENAME TABLE {names}")).await }
    });
    let waits = "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE info LIKE 'RENAME TABLE%' AND state LIKE 'Waiting for table metadata%'";
    wait::until("the tracker is locked", || async {
        let waiting: Option<u64> = test.query_one(waits, ()).await;
        (waiting == Some(1)).then_some(())
    })
    .await;
    // A look gives up after a second, and finds nothing.
    let exists = partitions::exists(&site, "SEASON-DEFAULT");
    let told = tokio::time::timeout(Duration::from_secs(3), exists).await;
    assert!(told.is_err(), "{told:?}");
    tx.rollback().await.unwrap();
    renaming.await.unwrap().unwrap();
    assert!(partitions::exists(&site, "SEASON-DEFAULT").await.unwrap());
}

#[tokio::test]
async fn a_season_being_inserted_gets_its_partition_before_the_commit() {
    let test = TestSite::new().await;
    let site = test.site().await;
    let mut frappe = test.db.get_conn().await.unwrap();
    let mut tx = frappe.start_transaction(TxOpts::new()).await.unwrap();
    tx.query_drop(ADD_SEASON).await.unwrap();
    assert!(partitions::create(&site, "SEASON-X", false).await.unwrap());
    assert!(!partitions::create(&site, "SEASON-X", false).await.unwrap());
    tx.query_drop(
        "UPDATE `tabGame Subscription Season` SET partition_created = 1 WHERE name = 'SEASON-X'",
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    test.add_questions(ANN, "SEASON-X", 1, Due::All).await;
    assert!(is_noted(&test).await);
}

#[tokio::test]
async fn a_season_that_somebody_holds_keeps_nobody_waiting() {
    let test = TestSite::new().await;
    let site = test.site().await;
    test.exec(ADD_SEASON, ()).await;
    let mut frappe = test.db.get_conn().await.unwrap();
    let mut tx = frappe.start_transaction(TxOpts::new()).await.unwrap();
    tx.query_drop("SELECT * FROM `tabGame Subscription Season` FOR UPDATE")
        .await
        .unwrap();
    let started = Instant::now();
    assert!(partitions::create(&site, "SEASON-X", true).await.unwrap());
    assert!(started.elapsed() < Duration::from_secs(20));
    tx.rollback().await.unwrap();
    assert!(!is_noted(&test).await);
    assert!(!partitions::create(&site, "SEASON-X", true).await.unwrap());
    assert!(is_noted(&test).await);
}

#[tokio::test]
async fn the_index_is_made_once_and_as_the_migration_makes_it() {
    let test = TestSite::new().await;
    let migrated = table(&test).await;
    let site = test.site().await;
    assert!(!partitions::create_composite_index(&site).await.unwrap());
    test.exec(&format!("ALTER TABLE `{TRACKER}` DROP INDEX {INDEX}"), ())
        .await;
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move { partitions::create_composite_index(&site).await })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += u32::from(maker.await.unwrap().unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(table(&test).await, migrated);

    // Before the migration, too, which then finds it.
    let old = TestSite::builder().unmigrated().build().await;
    let site = old.site().await;
    assert!(!partitions::is_partitioned(&site).await.unwrap());
    assert!(partitions::create_composite_index(&site).await.unwrap());
    old.migrate().await;
    assert!(partitions::is_partitioned(&site).await.unwrap());
    assert!(!partitions::create_composite_index(&site).await.unwrap());

    old.exec(&format!("ALTER TABLE `{TRACKER}` DROP INDEX {INDEX}"), ())
        .await;
    old.exec(
        &format!("ALTER TABLE `{TRACKER}` CHANGE next_review_date due_date datetime(6)"),
        (),
    )
    .await;
    let refused = partitions::create_composite_index(&site).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.message().contains("next_review_date"));
}

#[tokio::test]
async fn each_historic_patch_leaves_the_others_nothing_to_do() {
    let test = TestSite::builder().unmigrated().build().await;
    let site = test.site().await;
    let now = UtcMicros::now();
    assert!(!schema::plan(&site, now).await.unwrap().is_empty());
    assert!(
        schema::fix_null_seasons(&site, now)
            .await
            .unwrap()
            .changed()
    );
    assert!(schema::plan(&site, now).await.unwrap().is_empty());
    let steps = Mutex::new(Vec::new());
    let report = schema::apply(&site, now, &|p| steps.lock().unwrap().push(p.step)).await;
    assert!(!report.unwrap().changed());
    assert!(steps.lock().unwrap().contains(&schema::Step::Partitions));
    for report in [
        schema::setup_partitioning(&site, now).await,
        schema::add_safe_mode_index(&site, now).await,
    ] {
        assert!(!report.unwrap().changed());
    }
    assert!(table(&test).await.contains(INDEX));
}

#[tokio::test]
async fn check_config_refuses_a_database_whose_binary_log_the_workers_cannot_write() {
    for (format, good) in [("STATEMENT", false), ("MIXED", true)] {
        let options = memora_tests::servers::MariaDbOptions {
            extra: vec!["--log-bin".to_owned(), format!("--binlog-format={format}")],
            ..Default::default()
        };
        // Not even a migration could be run there.
        let builder = TestSite::builder().own_mariadb_with(options).unmigrated();
        let test = builder.build().await;
        let start = memora_tests::programs::Start::default();
        let checked = memora_tests::programs::run(&test, &start, "check-config").await;
        if good {
            assert!(checked.unwrap().contains(": good"), "{format}");
        } else {
            let refused = checked.unwrap_err().to_string();
            assert!(refused.contains("exit code 3"), "{refused}");
            assert!(
                refused.contains("binlog_format = MIXED or ROW"),
                "{refused}"
            );
        }
    }
}
