//! A season goes into the archive and comes back: no row lost, none doubled, whatever its
//! name, whoever is in the way, and wherever it is stopped.

#[path = "archive/in_the_way.rs"]
mod in_the_way;
#[path = "archive/late.rs"]
mod late;
#[path = "archive/moving.rs"]
mod moving;
#[path = "archive/renamed.rs"]
mod renamed;
#[path = "archive/retention.rs"]
mod retention;
#[path = "archive/stopped.rs"]
mod stopped;

use std::sync::Arc;

use memora_core::Result;
use memora_core::services::Site;
use memora_core::services::archive::{
    Method, Report, RestoreReport, archive_season, restore_season,
};
use memora_tests::questions::Season;
use memora_tests::{Due, TestSite};

use crate::story::{ANN, SEASON};

const TRACKER: &str = "tabPlayer Memory Tracker";
const ARCHIVE: &str = "tabArchived Memory Tracker";
/// The season that goes.
const OLD: &str = "SEASON-2025";
const BOB: &str = "bob@example.com";
/// Rows of [`OLD`], of two students.
const ROWS: usize = 50;

/// A site with an active season and one that is over, each with rows of Ann and Bob.
async fn site() -> TestSite {
    let test = TestSite::new().await;
    furnish(&test, OLD).await;
    test
}

async fn furnish(test: &TestSite, old: &str) {
    test.add_season(SEASON).await;
    test.add_student(ANN).await;
    add_old(test, old).await;
    test.add_questions(ANN, SEASON, 7, Due::All).await;
}

/// A season that is over, with rows.
async fn add_old(test: &TestSite, name: &str) {
    let closed = Season {
        is_active: false,
        ..Season::default()
    };
    test.add_season_with(name, closed).await;
    // Closed long ago: nobody believes it to be open.
    test.exec(
        "UPDATE `tabGame Subscription Season` SET modified = '2026-01-01' WHERE name = ?",
        (name,),
    )
    .await;
    test.add_questions(ANN, name, ROWS - 20, Due::First(10))
        .await;
    test.add_questions(BOB, name, 20, Due::None).await;
}

async fn archive(site: &Arc<Site>, season: &str, method: Method) -> Result<Report> {
    archive_season(site, season, Some(method), &|_| {}).await
}

async fn restore(site: &Arc<Site>, season: &str) -> Result<RestoreReport> {
    restore_season(site, season, &|_| {}).await
}

/// The rows of a season, each as text, in the order of their names.
async fn rows(test: &TestSite, table: &str, season: &str) -> Vec<String> {
    test.query(
        &format!(
            "SELECT CONCAT_WS('|', name, creation, modified, modified_by, owner, docstatus, idx, \
             player, season, question_id, stability, IFNULL(next_review_date, '-'), \
             IFNULL(last_review_date, '-'), review_version, IFNULL(subject, '-'), \
             IFNULL(topic, '-')) FROM `{table}` WHERE season = ? ORDER BY name"
        ),
        (season,),
    )
    .await
}

async fn count(test: &TestSite, sql: &str) -> u64 {
    test.query_one(sql, ()).await.unwrap()
}

/// Tables that are left of an archiving.
async fn leftovers(test: &TestSite) -> Vec<String> {
    test.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND \
         table_name RLIKE '^memora_srs_(detached|copy|late)_'",
        (),
    )
    .await
}

/// Whether the tracker has a partition of this season.
async fn has_partition(test: &TestSite, season: &str) -> bool {
    let site = test.site().await;
    memora_core::services::partitions::exists(&site, season)
        .await
        .unwrap()
}

/// `archived_on IS NOT NULL`, `partition_created`.
async fn marks(test: &TestSite, season: &str) -> (bool, bool) {
    test.query_one(
        "SELECT archived_on IS NOT NULL, partition_created FROM `tabGame Subscription Season` \
         WHERE name = ?",
        (season,),
    )
    .await
    .unwrap()
}

/// The season is in the archive, with exactly these rows, and nothing is left of the move.
async fn assert_archived(test: &TestSite, season: &str, before: &[String]) {
    assert_eq!(rows(test, ARCHIVE, season).await, before);
    assert_eq!(rows(test, TRACKER, season).await, Vec::<String>::new());
    assert_eq!(marks(test, season).await, (true, false));
    assert!(!has_partition(test, season).await);
    assert_eq!(leftovers(test).await, Vec::<String>::new());
    // Both tables are sound, and the rows are where the server looks for them.
    for table in [TRACKER, ARCHIVE] {
        let checks: Vec<(String, String, String, String)> =
            test.query(&format!("CHECK TABLE `{table}`"), ()).await;
        assert!(checks.iter().all(|c| c.3 == "OK"), "{checks:?}");
    }
}
