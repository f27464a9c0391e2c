//! What is still on its way to the season, and what comes afterwards.

use memora_core::services::archive::{Method, process_auto_archive};
use memora_core::services::{apply, sweep};
use memora_core::{ErrorKind, failpoint};
use memora_tests::questions::question_id;

use super::*;
use crate::story::{submit, waiting};

/// As [`site`], but Ann has answered in [`OLD`], and nobody has applied it.
async fn site_with_answers(ids: &[&str]) -> TestSite {
    let test = site().await;
    set_active(&test, OLD).await;
    submit(&test.site().await, "late", ids).await;
    set_active(&test, SEASON).await;
    test
}

async fn set_active(test: &TestSite, season: &str) {
    test.exec(
        "UPDATE `tabGame Subscription Season` SET is_active = (name = ?)",
        (season,),
    )
    .await;
}

async fn archived_version(test: &TestSite, question: &str) -> Option<i64> {
    test.query_one(
        &format!("SELECT review_version FROM `{ARCHIVE}` WHERE player = ? AND question_id = ?"),
        (ANN, question),
    )
    .await
}

/// Applies what waits, as a worker does.
async fn work_off(test: &TestSite) {
    let work = waiting(test).await;
    let site = test.site().await;
    for outcome in apply::apply(&site, &work, "test").await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_applied_yet_is_applied_first() {
    let test = site_with_answers(&[&question_id(0), "NEW:1"]).await;
    let site = test.site().await;
    let report = archive(&site, OLD, Method::Convert).await.unwrap();
    assert_eq!(
        (report.records_archived, report.late_merged),
        (ROWS as u64 + 1, 0)
    );
    assert!(archived_version(&test, "NEW:1").await.unwrap() > 0);
    assert!(archived_version(&test, &question_id(0)).await.unwrap() > 0);
}

#[tokio::test]
async fn what_cannot_be_applied_is_in_the_way_until_somebody_decides() {
    let test = site_with_answers(&[&question_id(0)]).await;
    let site = test.site().await;
    test.exec("UPDATE memora_srs_journal SET payload = '{}'", ())
        .await;
    let refused = archive(&site, OLD, Method::Convert).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(
        refused.message().contains("1 accepted submits"),
        "{refused}"
    );
    assert_eq!(rows(&test, TRACKER, OLD).await.len(), ROWS);
    test.exec(
        "UPDATE memora_srs_journal SET state = 'dismissed', applied_at = NOW()",
        (),
    )
    .await;
    archive(&site, OLD, Method::Convert).await.unwrap();
}

#[tokio::test]
async fn a_write_that_comes_while_it_moves_is_merged_by_version() {
    for method in [Method::Convert, Method::Copy] {
        let test = site().await;
        let site = test.site().await;
        // Detached.
        let point = failpoint::pause(&test.name, "archive_step_2");
        let archiving = tokio::spawn({
            let site = site.clone();
            async move { archive(&site, OLD, method).await }
        });
        point.reached().await;
        set_active(&test, OLD).await;
        test.exec(
            "DELETE FROM memora_srs_state WHERE name = 'archive:SEASON-2025'",
            (),
        )
        .await;
        let writer = test.site().await;
        submit(&writer, "late", &[&question_id(0), "NEW:1"]).await;
        work_off(&test).await;
        set_active(&test, SEASON).await;
        drop(point);
        let report = archiving.await.unwrap().unwrap();
        assert_eq!(
            (report.records_archived, report.late_merged),
            (ROWS as u64 + 2, 2)
        );
        assert!(archived_version(&test, "NEW:1").await.unwrap() > 0);
        assert!(archived_version(&test, &question_id(0)).await.unwrap() > 0);
        assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS + 1);
        assert!(!has_partition(&test, OLD).await);
        assert_eq!(leftovers(&test).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_write_for_an_archived_season_is_merged_by_the_next_run() {
    for method in [Method::Convert, Method::Copy] {
        let test = site_with_answers(&[&question_id(0), "NEW:1"]).await;
        let site = test.site().await;
        // As if it were on another host's disk all the while.
        test.exec(
            "CREATE TABLE kept AS SELECT player, submission_id, attempt, fingerprint, \
                   season, payload FROM memora_srs_journal",
            (),
        )
        .await;
        test.exec("DELETE FROM memora_srs_journal", ()).await;
        let mut queue = test.queue.connection().await;
        let _: () = redis::cmd("FLUSHDB").query_async(&mut queue).await.unwrap();
        archive(&site, OLD, method).await.unwrap();
        assert_eq!(archived_version(&test, "NEW:1").await, None);
        test.exec(
            "INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, \
                   season, payload, state) SELECT *, 'late' FROM kept",
            (),
        )
        .await;
        // A worker brings it into a partition made anew.
        test.exec(
            "UPDATE memora_srs_journal SET state = 'pending', created_at = '2026-01-01'",
            (),
        )
        .await;
        assert_eq!(sweep::sweep(&site, "test", 100).await.unwrap(), 1);
        assert!(has_partition(&test, OLD).await);
        let report = process_auto_archive(&site, &|_| {}).await.unwrap();
        assert_eq!((report.late_merged, report.failed.len()), (2, 0));
        assert!(archived_version(&test, "NEW:1").await.unwrap() > 0);
        assert_eq!(rows(&test, ARCHIVE, OLD).await.len(), ROWS + 1);
        assert!(!has_partition(&test, OLD).await);
        assert!(marks(&test, OLD).await.0);
        // Nothing is left to do.
        let report = archive(&site, OLD, method).await.unwrap();
        assert!(report.was_archived);
        assert_eq!(report.late_merged, 0);
    }
}

#[tokio::test]
async fn rows_that_wait_in_the_journal_as_late_are_merged() {
    let test = site_with_answers(&[&question_id(0)]).await;
    let site = test.site().await;
    test.exec(
        "CREATE TABLE kept AS SELECT player, submission_id, attempt, fingerprint, season, \
               payload FROM memora_srs_journal",
        (),
    )
    .await;
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    archive(&site, OLD, Method::Convert).await.unwrap();
    test.exec(
        "INSERT INTO memora_srs_journal (player, submission_id, attempt, fingerprint, \
               season, payload, state) SELECT *, 'late' FROM kept",
        (),
    )
    .await;
    let report = archive(&site, OLD, Method::Convert).await.unwrap();
    assert_eq!((report.was_archived, report.late_merged), (true, 1));
    assert!(archived_version(&test, &question_id(0)).await.unwrap() > 0);
}

#[tokio::test]
async fn an_older_state_in_the_archive_gives_way_in_the_tracker_too() {
    let test = site().await;
    let site = test.site().await;
    archive(&site, OLD, Method::Convert).await.unwrap();
    // Late: newer than the archive's row of question 0, older than that of question 1.
    let made = memora_core::services::partitions::create(&site, OLD, true);
    assert!(made.await.unwrap());
    test.add_questions(ANN, OLD, 2, Due::None).await;
    test.exec(
        &format!("UPDATE `{TRACKER}` SET review_version = 5, stability = 3.5 WHERE season = ?"),
        (OLD,),
    )
    .await;
    test.exec(
        &format!(
            "UPDATE `{ARCHIVE}` SET review_version = 9, stability = 2.5 WHERE question_id = ?"
        ),
        (question_id(1),),
    )
    .await;
    restore(&site, OLD).await.unwrap();
    let stability = |i| {
        let sql = format!(
            "SELECT CAST(stability AS DOUBLE) FROM `{TRACKER}` WHERE season = '{OLD}' AND \
             player = '{ANN}' AND question_id = '{}'",
            question_id(i)
        );
        let test = &test;
        async move { test.query::<f64>(&sql, ()).await }
    };
    assert_eq!(stability(0).await, [3.5]);
    assert_eq!(stability(1).await, [2.5]);
    assert_eq!(rows(&test, TRACKER, OLD).await.len(), ROWS);
}
