//! Rows that were applied or dismissed between being looked at and being changed.

use memora_core::batch::SubmissionKey;
use memora_core::schedule_cache::Known;
use memora_core::services::apply;
use memora_core::store::apply::Work;
use memora_core::store::journal::operate::{self, Dismissal};
use memora_core::store::journal::{self as store, Failure};
use memora_core::types::{Season, SubmissionId};

use super::*;
use crate::reconcile::{cached, full, run};
use crate::story::{forget, read_at, warm};

/// All that a change could have changed, of all rows.
async fn rows(test: &TestSite) -> Vec<(String, String, u32, bool, bool, bool)> {
    let sql = "SELECT submission_id, state, tries, applied_at IS NULL, next_try_at IS NULL, \
               error IS NULL AND claimed_by IS NULL \
               FROM memora_srs_journal ORDER BY submission_id";
    test.query(sql, ()).await
}

/// One of each: applied, dismissed, and dismissed by hand in the table.
async fn done() -> (TestSite, std::sync::Arc<memora_core::services::Site>) {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    submit(&site, "applied", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    for (n, id) in ["dismissed", "by-hand"].into_iter().enumerate() {
        submit(&site, id, &[&question_id(n + 1)]).await;
    }
    let dismissed = journal::dismiss(&site, &of("dismissed"), "root", false).await;
    assert_eq!(dismissed.unwrap().entries.len(), 1);
    let by_hand =
        "UPDATE memora_srs_journal SET state = 'dismissed' WHERE submission_id = 'by-hand'";
    test.exec(by_hand, ()).await;
    (test, site)
}

#[tokio::test]
async fn what_is_done_is_neither_failed_nor_queued_nor_tried_again() {
    let (test, site) = done().await;
    let before = rows(&test).await;
    for id in ["applied", "dismissed", "by-hand"] {
        let key = SubmissionKey {
            player: crate::story::ann(),
            submission: SubmissionId::parse("id", id).unwrap(),
        };
        let failure = Failure {
            error: "too late",
            passes: false,
        };
        store::failed(&site.db, &key, failure, 12).await.unwrap();
        assert_eq!(rows(&test).await, before, "failed: {id}");
        store::has_job(&site.db, &[&key], 30).await.unwrap();
        assert_eq!(rows(&test).await, before, "queued: {id}");
        let retried = operate::retry(&site.db, ANN.as_bytes(), id.as_bytes()).await;
        assert!(!retried.unwrap(), "{id}");
        assert_eq!(rows(&test).await, before, "retried: {id}");
    }
}

#[tokio::test]
async fn what_is_done_is_not_dismissed() {
    let (test, site) = done().await;
    let before = rows(&test).await;
    let log = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
    let logged = count(&test, log).await;
    let now = UtcMicros::now();
    let now = site.zone(now).await.unwrap().to_wall(now);
    for id in ["applied", "dismissed", "by-hand"] {
        let dismissal = Dismissal {
            title: "SRSPersistenceService",
            text: "too late",
            now,
            by: "root",
        };
        let player = ANN.as_bytes();
        let dismissed = operate::dismiss(&site.db, player, id.as_bytes(), dismissal).await;
        assert!(!dismissed.unwrap(), "{id}");
        assert_eq!(rows(&test).await, before, "{id}");
    }
    assert_eq!(count(&test, log).await, logged);
}

/// Whoever archives a season waits for what is not in the table, and for nothing else.
#[tokio::test]
async fn what_is_done_keeps_no_season_from_the_archive() {
    let (_test, site) = done().await;
    submit(&site, "pending", &[&question_id(3)]).await;
    let of_season = async |season: &str| {
        let season = Season::stored(season);
        let left = store::unapplied_of_season(&site.db, &season, 10).await;
        let ids = left.unwrap().into_iter().map(|key| key.submission);
        ids.map(|id| id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_season(SEASON).await, ["pending"]);
    assert_eq!(of_season("ANOTHER").await, Vec::<String>::new());
}

/// Rows of these submissions, to be applied.
fn work(ids: &[&str]) -> Vec<Work> {
    let key = |id: &&str| SubmissionKey {
        player: crate::story::ann(),
        submission: SubmissionId::parse("id", id).unwrap(),
    };
    let work = ids.iter().map(|id| Work {
        key: key(id),
        job_id: None,
        submission: None,
    });
    work.collect()
}

#[tokio::test]
async fn what_is_done_is_not_applied() {
    let (test, site) = done().await;
    let before = rows(&test).await;
    let work = work(&["applied", "dismissed", "by-hand"]);
    for outcome in apply::apply(&site, &work, "test").await {
        outcome.unwrap();
    }
    assert_eq!(rows(&test).await, before);
    let applied = "SELECT COUNT(*) FROM memora_srs_audit WHERE result = 'applied'";
    assert_eq!(count(&test, applied).await, 1);
}

/// The table alone says what became of it: a row that somebody deletes does not come back.
#[tokio::test]
async fn what_is_done_is_laid_over_nothing() {
    for (done_as, question) in [("applied", 0), ("dismissed", 1), ("by-hand", 2)] {
        let (test, site) = done().await;
        let id = question_id(question);
        test.exec(
            "DELETE FROM `tabPlayer Memory Tracker` WHERE question_id = ?",
            (&id,),
        )
        .await;
        forget(&test).await;
        // When whatever was answered is due again.
        let later = UtcMicros::now().plus_seconds(400 * 86_400);
        let cold = read_at(&test.site().await, later).await;
        assert_eq!(cold.total_due, 4, "{done_as}");
        warm(&site).await;
        let known = cached(&site, ANN, &id).await;
        assert!(matches!(known, Known::Absent), "{done_as}: {known:?}");
        let report = run(&site, &full()).await;
        assert_eq!(
            (
                report.compared,
                report.discrepancies_found,
                report.in_flight
            ),
            (4, 0, 0),
            "{done_as}: {report:?}"
        );
    }
}
