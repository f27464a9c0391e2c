//! Tables that others partitioned, indexed or filled before us.

use memora_tests::wait;
use mysql_async::prelude::Queryable;

use super::*;

/// `CREATE TABLE` of a table as a real site has it.
fn captured(heading: &str) -> &'static str {
    let all = include_str!("../../fixtures/show_create_tables.sql");
    let at = all.find(heading).unwrap() + heading.len();
    let end = all[at..].find(";\n").unwrap();
    &all[at..at + end]
}

/// A site whose tracker somebody partitioned by hand: key (name, season), a partition for
/// rows without a season, no unique key.
async fn partitioned_site() -> TestSite {
    let site = TestSite::builder().unmigrated().build().await;
    let mut conn = site.db.get_conn().await.unwrap();
    conn.query_drop(format!("DROP TABLE `{TRACKER}`"))
        .await
        .unwrap();
    conn.query_drop(captured("-- Player Memory Tracker\n"))
        .await
        .unwrap();
    add_season(&site, "SEASON-2026", "2026-01-01", "2026-12-31", true).await;
    add_season(&site, "SEASON-2029", "2029-01-01", "2029-12-31", false).await;
    site
}

#[tokio::test]
async fn a_table_partitioned_by_hand_is_completed_without_a_rebuild() {
    let (site, fresh) = tokio::join!(partitioned_site(), TestSite::new());
    for (name, season, question, last, stability) in [
        ("r1", "SEASON-2026", "Q-1", "2026-01-01", 1.0),
        ("r2", "SEASON-2026", "Q-1", "2026-01-02", 2.0),
        // In its key, but not to Frappe, these are two rows of one name.
        ("R2", "SEASON-2027", "Q-1", "2026-01-03", 3.0),
        ("r3", "", "Q-2", "2026-01-01", 1.5),
        ("r3", "SEASON-2026", "Q-3", "2026-01-01", 2.5),
        ("r4", "", "Q-1", "2026-01-01", 0.5),
    ] {
        let key = ("ann", Some(season), question);
        add_row(&site, TRACKER, name, key, last, stability).await;
    }
    assert_eq!(
        plan(&site)
            .await
            .tables
            .iter()
            .map(|t| t.names_used_twice)
            .sum::<u64>(),
        2
    );

    let report = run(&site).await.unwrap();
    let tracker = report.tables.iter().find(|t| t.table == TRACKER).unwrap();
    assert_eq!(tracker.rows_given_season, 2);
    assert_eq!(tracker.rows_merged, 2);
    assert_eq!(tracker.rows_renamed, 2);
    assert_eq!(tracker.partitions_made, ["SEASON-2029", "SEASON-DEFAULT"]);
    assert!(
        !tracker.changes.iter().any(|c| c.contains("PARTITION BY")),
        "{:?}",
        tracker.changes
    );

    assert_eq!(shape(&site, TRACKER).await, shape(&fresh, TRACKER).await);
    assert_eq!(
        seasons_with_partition(&site, TRACKER).await,
        [
            "'SEASON-2026'",
            "'SEASON-2027'",
            "'SEASON-2028'",
            "'SEASON-2029'",
            "'SEASON-DEFAULT'"
        ]
    );
    let rows: Vec<(String, String, f64)> = site
        .query(
            &format!(
                "SELECT season, question_id, CAST(stability AS double) FROM `{TRACKER}` \
                 ORDER BY season, question_id"
            ),
            (),
        )
        .await;
    assert_eq!(
        rows,
        [
            ("SEASON-2026".to_owned(), "Q-1".to_owned(), 2.0),
            ("SEASON-2026".to_owned(), "Q-2".to_owned(), 1.5),
            ("SEASON-2026".to_owned(), "Q-3".to_owned(), 2.5),
            ("SEASON-2027".to_owned(), "Q-1".to_owned(), 3.0),
        ]
    );
    let names: Option<u64> = site
        .query_one(&format!("SELECT COUNT(DISTINCT name) FROM `{TRACKER}`"), ())
        .await;
    assert_eq!(names, Some(4));
    assert!(plan(&site).await.is_empty());
}

#[tokio::test]
async fn rows_without_a_season_meet_their_question_in_a_unique_table() {
    let site = partitioned_site().await;
    run(&site).await.unwrap();
    site.exec(
        &format!("ALTER TABLE `{TRACKER}` ADD PARTITION (PARTITION p_empty VALUES IN (''))"),
        (),
    )
    .await;
    for (name, season, question, last, stability) in [
        ("r1", "SEASON-2026", "Q-1", "2026-01-01", 1.0),
        ("r2", "", "q-1", "2026-01-02", 2.0),
        ("r3", "SEASON-2026", "Q-2", "2026-01-02", 1.0),
        ("r4", "", "Q-2", "2026-01-01", 2.0),
        ("r5", "", "Q-3", "2026-01-01", 3.0),
    ] {
        let key = ("ann", Some(season), question);
        add_row(&site, TRACKER, name, key, last, stability).await;
    }
    run(&site).await.unwrap();
    let rows: Vec<(String, String, f64)> = site
        .query(
            &format!(
                "SELECT name, season, CAST(stability AS double) FROM `{TRACKER}` ORDER BY name"
            ),
            (),
        )
        .await;
    let expected = [("r2", 2.0), ("r3", 1.0), ("r5", 3.0)]
        .map(|(name, stability)| (name.to_owned(), "SEASON-2026".to_owned(), stability));
    assert_eq!(rows, expected);
    assert!(plan(&site).await.is_empty());
}

/// Dropping an empty partition waits for nobody, so that nobody waits behind it.
#[tokio::test]
async fn readers_go_on_while_an_empty_partition_waits_for_a_transaction() {
    let site = std::sync::Arc::new(TestSite::new().await);
    let empty = format!("ALTER TABLE `{TRACKER}` ADD PARTITION (PARTITION p_no VALUES IN (''))");
    site.exec(&empty, ()).await;
    let mut holder = site.db.get_conn().await.unwrap();
    holder.query_drop("START TRANSACTION").await.unwrap();
    let look = format!("SELECT COUNT(*) FROM `{TRACKER}`");
    holder.query_drop(&look).await.unwrap();
    let migrating = tokio::spawn({
        let site = site.clone();
        async move { run(&site).await }
    });
    wait::until("it is at the tracker", || async {
        let at = "SELECT 1 FROM memora_srs_state WHERE name = 'migrate' AND \
                  JSON_VALUE(value, '$.at') LIKE '%, tabPlayer%'";
        site.query_one::<u8>(at, ()).await
    })
    .await;
    let mut reader = site.db.get_conn().await.unwrap();
    for _ in 0..1000 {
        let read = format!("SET STATEMENT lock_wait_timeout = 0 FOR {look}");
        reader.query_drop(read).await.expect("a read that waits");
    }
    assert!(!migrating.is_finished());
    holder.query_drop("COMMIT").await.unwrap();
    let report = migrating.await.unwrap().unwrap();
    let tracker = report.tables.iter().find(|t| t.table == TRACKER).unwrap();
    assert_eq!(tracker.changes, ["DROP PARTITION `p_no`"]);
}

#[tokio::test]
async fn a_default_partition_is_replaced_and_no_row_is_hidden() {
    let site = old_site().await;
    let mut conn = site.db.get_conn().await.unwrap();
    conn.query_drop(format!(
        "UPDATE `{TRACKER}` SET season = 'SEASON-2026' WHERE COALESCE(season, '') = ''; \
         ALTER TABLE `{TRACKER}` DROP PRIMARY KEY, ADD PRIMARY KEY (name, season) \
         PARTITION BY LIST COLUMNS(season) \
         (PARTITION p1 VALUES IN ('SEASON-2025', 'SEASON-2024'), PARTITION pd DEFAULT)"
    ))
    .await
    .unwrap();
    let season = memora_core::types::Season::stored("SEASON-2030");
    let refused = memora_core::store::partitions::ensure(&engine(&site), &season)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), memora_core::ErrorKind::Config);

    run(&site).await.unwrap();
    assert_migrated(&site).await;
}

#[tokio::test]
async fn what_is_not_ours_stays_and_equal_indexes_are_renamed() {
    let site = old_site().await;
    site.exec(
        &format!(
            "ALTER TABLE `{TRACKER}` ADD COLUMN difficulty double, ADD INDEX mine (topic, idx), \
             ADD INDEX old_review (player, season, next_review_date)"
        ),
        (),
    )
    .await;
    // Frappe calls an index that it adds later `<column>_index`.
    site.exec(
        &format!("ALTER TABLE `{ARCHIVE}` ADD INDEX player_index (player)"),
        (),
    )
    .await;
    run(&site).await.unwrap();
    assert_migrated(&site).await;
    let tracker = definition(&site, TRACKER).await;
    assert!(tracker.contains("`difficulty` double"), "{tracker}");
    assert!(tracker.contains("KEY `mine` (`topic`,`idx`)"), "{tracker}");
    assert_eq!(
        tracker
            .matches("(`player`,`season`,`next_review_date`)")
            .count(),
        1
    );
    assert!(
        tracker.contains("`idx_pmt_player_season_review`"),
        "{tracker}"
    );
    let archive = definition(&site, ARCHIVE).await;
    assert_eq!(archive.matches("(`player`)").count(), 1, "{archive}");
    assert!(archive.contains("KEY `player` (`player`)"), "{archive}");
}

#[tokio::test]
async fn the_rewriting_alter_can_be_left_to_a_tool() {
    let site = old_site().await;
    let mut options = Options::at(now());
    options.prepare_only = true;
    let prepared = migrate::run(&engine(&site), &options, |_| {})
        .await
        .unwrap();
    for table in [TRACKER, ARCHIVE] {
        assert!(!definition(&site, table).await.contains("PARTITION BY"));
        let report = prepared.tables.iter().find(|t| t.table == table).unwrap();
        let left = report.left.as_deref().unwrap();
        assert!(left.contains(" PARTITION BY LIST"), "{left}");
        site.exec(&format!("ALTER TABLE `{table}` {left}"), ())
            .await;
    }
    let report = run(&site).await.unwrap();
    for table in &report.tables {
        assert!(
            !table.changes.iter().any(|c| c.contains("PARTITION BY")),
            "{table:?}"
        );
    }
    assert_migrated(&site).await;
}
