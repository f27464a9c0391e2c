//! A correction is made of what is still as it was inspected: in the same fill's schedule,
//! with the same due time and the same record. Each of these alone keeps it away.

use memora_core::failpoint;
use memora_core::schedule_cache::{Inspected, Known, Lookup, Mend, Remedy};
use memora_core::services::Site;
use memora_core::services::reconcile::Report;
use memora_core::types::{Stability, Version};
use memora_tests::TestSite;
use memora_tests::questions::question_id;

use super::{Corruption, cached, corrupt, full, key, redis, run, state};
use crate::story::{ANN, ann, season, warm, warm_with};

/// A comparison that is stopped before it corrects.
struct Stopped {
    paused: failpoint::Paused,
    comparing: tokio::task::JoinHandle<Report>,
}

impl Stopped {
    async fn before_mend(test: &TestSite, site: &std::sync::Arc<Site>) -> Self {
        let paused = failpoint::pause(&test.name, "before_mend");
        let site = site.clone();
        let comparing = tokio::spawn(async move { run(&site, &full()).await });
        paused.reached().await;
        Self { paused, comparing }
    }

    /// Discrepancies and corrections.
    async fn go_on(self) -> (u64, u64) {
        drop(self.paused);
        let report = self.comparing.await.unwrap();
        (report.discrepancies_found, report.auto_corrected)
    }
}

async fn inspected(site: &Site, id: &str) -> Inspected {
    match site.cache.inspect(&ann(), &season(), &[id]).await.unwrap() {
        Lookup::Complete(inspected) => inspected,
        Lookup::Incomplete => panic!("not cached"),
    }
}

/// Whether it was corrected.
async fn mend(site: &Site, inspected: &Inspected, id: &str, remedy: Remedy<'_>) -> bool {
    let mends = [Mend {
        question: id,
        seen: &inspected.questions[0],
        remedy,
    }];
    let (ann, season) = (ann(), season());
    let done = site.cache.mend(&ann, &season, inspected, &mends);
    done.await.unwrap() == [true]
}

async fn forget_key(test: &TestSite, key: &str) {
    let mut redis = redis(test).await;
    let gone: i64 = redis::cmd("DEL")
        .arg(key)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(gone, 1);
}

/// Redis has evicted the schedule: one that a correction made would be all of it.
#[tokio::test]
async fn a_schedule_that_is_gone_is_not_begun_by_a_correction() {
    let (test, site) = super::in_between::stage().await;
    let id = question_id(1);
    let right = state(&site, ANN, &id).await;
    corrupt(&test, &site, ANN, &id, Corruption::Missing).await;
    let before = inspected(&site, &id).await;
    forget_key(&test, &key(ANN)).await;
    assert!(!mend(&site, &before, &id, Remedy::Set(&right)).await);
    let mut redis = redis(&test).await;
    let is_there: bool = redis::cmd("EXISTS")
        .arg(key(ANN))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(!is_there, "a key of one member, for ever");
}

#[tokio::test]
async fn details_that_are_gone_cost_the_correction_and_fail_nothing() {
    let (test, site) = super::in_between::stage().await;
    let id = question_id(1);
    let right = state(&site, ANN, &id).await;
    corrupt(&test, &site, ANN, &id, Corruption::TooNew).await;
    let before = inspected(&site, &id).await;
    forget_key(&test, &site.cache.keys(&ann(), &season()).details()).await;
    assert!(!mend(&site, &before, &id, Remedy::Set(&right)).await);
}

/// A row is deleted and put back, and the schedule filled anew: the question looks as it
/// did when it was a ghost.
#[tokio::test]
async fn a_ghost_that_has_its_row_again_stays() {
    let (test, site) = super::in_between::stage().await;
    let id = question_id(1);
    for sql in [
        "CREATE TABLE kept AS SELECT * FROM `tabPlayer Memory Tracker` WHERE question_id = ?",
        "DELETE FROM `tabPlayer Memory Tracker` WHERE question_id = ?",
    ] {
        test.exec(sql, (&id,)).await;
    }
    let stopped = Stopped::before_mend(&test, &site).await;
    let back = "INSERT INTO `tabPlayer Memory Tracker` SELECT * FROM kept";
    test.exec(back, ()).await;
    site.cache.invalidate(&ann(), &season()).await.unwrap();
    warm(&site).await;
    assert_eq!(stopped.go_on().await, (1, 0));
    let known = cached(&site, ANN, &id).await;
    assert!(matches!(known, Known::State(_)), "{known:?}");
}

/// A due time that a tool sets; the record stays as it was.
#[tokio::test]
async fn another_due_time_alone_keeps_a_correction_away() {
    let (test, site) = super::in_between::stage().await;
    let id = question_id(1);
    corrupt(&test, &site, ANN, &id, Corruption::TooOld).await;
    let stopped = Stopped::before_mend(&test, &site).await;
    corrupt(&test, &site, ANN, &id, Corruption::Score).await;
    assert_eq!(stopped.go_on().await, (1, 0));
    let known = cached(&site, ANN, &id).await;
    assert_eq!(known, Known::NoDetails, "the tool's due time");
}

/// An answer after which the question is due as before.
#[tokio::test]
async fn another_record_alone_keeps_a_correction_away() {
    let (test, site) = super::in_between::stage().await;
    let id = question_id(1);
    corrupt(&test, &site, ANN, &id, Corruption::Details).await;
    let mut accepted = state(&site, ANN, &id).await;
    let stopped = Stopped::before_mend(&test, &site).await;
    accepted.version = Version(accepted.version.0 + 1);
    accepted.stability = Stability::from_f64(3.25);
    let states = std::slice::from_ref(&accepted);
    site.cache.apply(&ann(), &season(), states).await.unwrap();
    assert_eq!(stopped.go_on().await, (1, 0));
    assert_eq!(state(&site, ANN, &id).await, accepted);
}

/// Which subject it has only the table can say: its schedules are neither right nor wrong.
#[tokio::test]
async fn a_question_without_a_record_ends_no_subjects_schedule() {
    let (test, site) = super::in_between::stage().await;
    warm_with(&site, &["Physics"]).await;
    let id = question_id(1);
    let details = site.cache.keys(&ann(), &season()).details();
    let mut redis = redis(&test).await;
    let buckets: Vec<String> = (0..16).map(|n| format!("b{n}")).collect();
    let mut forget = redis::cmd("HDEL");
    forget.arg(details).arg(&buckets);
    let gone: i64 = forget.query_async(&mut redis).await.unwrap();
    assert!(gone > 0);
    let before = inspected(&site, &id).await;
    let seen = &before.questions[0];
    assert!(seen.is_there() && seen.state.is_none() && !seen.wrong_sets);
    assert!(!mend(&site, &before, &id, Remedy::DropSets).await);
    let set = site.cache.keys(&ann(), &season()).subject("Physics");
    let is_there: bool = redis::cmd("EXISTS")
        .arg(set)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(is_there);
}
