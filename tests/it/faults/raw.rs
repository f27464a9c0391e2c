//! Answers that travel raw, and are computed when they are applied.

use std::sync::Arc;

use memora_core::batch::{Attempt, Batch, FORMAT, RAW_FORMAT, Submission};
use memora_core::failpoint;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::journal::{Filter, dismiss};
use memora_core::services::submit::SubmitAnswer;
use memora_core::services::{Site, apply};
use memora_core::store::journal;
use memora_tests::TestSite;
use memora_tests::questions::question_id;
use serde_json::json;

use crate::story::{
    ann, apply_all, count, forget, furnish, ids, read, row, season, submit, waiting, warm,
};

const LOG: &str = "SELECT COUNT(*) FROM memora_srs_review_log";

async fn impatient(test: &TestSite) -> Arc<Site> {
    test.set_config("srs_state_budget_ms", json!(50));
    test.site().await
}

/// Submits while nothing can be loaded in time.
async fn submit_raw(test: &TestSite, submission: &str, ids: &[&str]) -> SubmitAnswer {
    let site = impatient(test).await;
    let _paused = failpoint::pause(&test.name, "load_read");
    submit(&site, submission, ids).await
}

async fn batch(test: &TestSite, site: &Site, submission: &str) -> Batch {
    journaled(test, site, submission).await.batch
}

async fn journaled(test: &TestSite, site: &Site, submission: &str) -> Submission {
    let payload: Option<Vec<u8>> = test
        .query_one(
            "SELECT payload FROM memora_srs_journal WHERE submission_id = ?",
            (submission,),
        )
        .await;
    let key = memora_core::batch::SubmissionKey {
        player: ann(),
        submission: memora_core::types::SubmissionId::parse("id", submission).unwrap(),
    };
    let row = journal::find(&site.db, &key).await.unwrap().unwrap();
    assert_eq!(
        row.batch,
        serde_json::from_slice(&payload.unwrap()).unwrap()
    );
    row
}

async fn furnished() -> TestSite {
    let test = TestSite::new().await;
    furnish(&test, 10, 10).await;
    test
}

#[tokio::test]
async fn what_cannot_be_computed_in_time_is_computed_once_when_it_is_applied() {
    let test = furnished().await;
    let site = test.site().await;
    let known = question_id(0);
    let answer = submit_raw(&test, "s-1", &[&known, &known, "NEW:1"]).await;
    assert_eq!((answer.processed, answer.xp_earned), (3, 60));
    assert!(answer.is_degraded);
    let raw = batch(&test, &site, "s-1").await;
    assert_eq!(raw.v, RAW_FORMAT);
    assert!(raw.items.iter().all(|item| item.raw), "{raw:?}");
    assert!(raw.states().is_empty());
    // Until then the old schedule shows.
    assert_eq!(read(&site).await.total_due, 10);

    // Computed, but not applied: the next try meets the states of the first.
    let failing = failpoint::fail(&test.name, "apply_upserted");
    let work = waiting(&test).await;
    for outcome in apply::apply(&site, &work, "test").await {
        outcome.unwrap_err();
    }
    drop(failing);
    let computed = batch(&test, &site, "s-1").await;
    assert_eq!((computed.v, computed.items.len()), (FORMAT, 3));
    assert_eq!(computed.items[0].review_version, raw.at);
    assert_eq!(computed.items[1].review_version, raw.at + 1);
    assert_eq!(
        computed.items[1].before.unwrap().review_version,
        raw.at,
        "the second answer met what the first made"
    );
    assert!(
        computed
            .items
            .iter()
            .all(|item| item.last_review_us == raw.at)
    );
    test.exec("UPDATE memora_srs_journal SET next_try_at = NULL", ())
        .await;
    assert_eq!(apply_all(&test, &site).await, 1);
    assert_eq!(batch(&test, &site, "s-1").await, computed);
    assert_eq!(row(&test, &known).await.unwrap().1, raw.at + 1);
    assert_eq!(row(&test, "NEW:1").await.unwrap().1, raw.at);
    assert_eq!(count(&test, LOG).await, 3);
    assert!(!ids(&read(&site).await).contains(&known.as_str()));
    // A client that repeats it gets the same answer.
    let again = submit(&site, "s-1", &[&known, &known, "NEW:1"]).await;
    assert_eq!((again.processed, again.xp_earned), (3, 60));
    assert_eq!(count(&test, LOG).await, 3);
}

#[tokio::test]
async fn a_raw_answer_makes_the_next_one_to_its_question_wait_too() {
    let test = furnished().await;
    let site = test.site().await;
    let (first, other) = (question_id(0), question_id(1));
    submit_raw(&test, "s-1", &[&first]).await;
    let answer = submit(&site, "s-2", &[&first.to_lowercase(), &other]).await;
    assert!(answer.is_degraded);
    let second = batch(&test, &site, "s-2").await;
    assert_eq!(
        second.items.iter().map(|i| i.raw).collect::<Vec<_>>(),
        [true, false],
        "only what waits is raw"
    );
    assert_eq!(apply_all(&test, &site).await, 2);
    let log: Vec<(String, i64, Option<i64>)> = test
        .query(
            "SELECT submission_id, review_version, version_before FROM memora_srs_review_log \
             WHERE question = ? ORDER BY review_version",
            (&first,),
        )
        .await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!((log[0].0.as_str(), log[1].0.as_str()), ("s-1", "s-2"));
    assert_eq!(
        log[1].2,
        Some(log[0].1),
        "in order, each on top of the other"
    );
    assert_eq!(row(&test, &first).await.unwrap().1, log[1].1);
}

#[tokio::test]
async fn what_the_cache_knows_is_computed_and_shown_at_once() {
    let test = furnished().await;
    let site = test.site().await;
    warm(&site).await;
    let known = question_id(0);
    let answer = submit_raw(&test, "s-1", &[&known, "NEW:1"]).await;
    assert!(answer.is_degraded);
    assert_eq!(read(&site).await.total_due, 9);
    assert_eq!(apply_all(&test, &site).await, 1);
    let (ann, season) = (ann(), season());
    let shown = site.cache.states(&ann, &season, &[&known, "NEW:1"]).await;
    let Lookup::Complete(shown) = shown.unwrap() else {
        panic!("incomplete")
    };
    assert!(matches!(&shown.states[1], Known::State(s) if s.version.0 > 0));
    forget(&test).await;
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn a_new_question_that_may_not_come_is_left_out_when_it_is_applied() {
    for (key, value) in [
        ("srs_allow_new_questions", json!(0)),
        ("srs_max_questions", json!(11)),
    ] {
        let test = furnished().await;
        test.set_config(key, value);
        let site = test.site().await;
        let known = question_id(0);
        let answer = submit_raw(&test, "s-1", &["NEW:1", &known, "NEW:2"]).await;
        assert_eq!((answer.processed, answer.xp_earned), (3, 60), "{key}");
        assert_eq!(apply_all(&test, &site).await, 1);
        assert!(row(&test, &known).await.unwrap().1 > 0, "{key}");
        assert_eq!(row(&test, "NEW:2").await, None, "{key}");
        let fits = key == "srs_max_questions";
        assert_eq!(row(&test, "NEW:1").await.is_some(), fits, "{key}");
        let batch = batch(&test, &site, "s-1").await;
        let refused: Vec<&str> = batch
            .refused
            .iter()
            .map(|i| i.question_id.as_str())
            .collect();
        let expected: &[&str] = if fits {
            &["NEW:2"]
        } else {
            &["NEW:1", "NEW:2"]
        };
        assert_eq!(refused, expected, "{key}");
        let told = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
        assert_eq!(count(&test, told).await, 1, "{key}");
        // The answer stays what it was.
        let again = submit(&site, "s-1", &["NEW:1", &known, "NEW:2"]).await;
        assert_eq!((again.processed, again.xp_earned), (3, 60), "{key}");
    }
}

/// What two workers have computed from the same answers may differ: the first one's is what
/// both go on with.
#[tokio::test]
async fn what_was_computed_is_written_once_and_only_where_it_came_from() {
    let test = furnished().await;
    let site = test.site().await;
    submit_raw(&test, "s-1", &[&question_id(0)]).await;
    let row = journaled(&test, &site, "s-1").await;
    let computed = |at: i64| Batch::new(row.batch.door, row.batch.at + at, Vec::new());
    let mut other = row.clone();
    other.attempt = Attempt::random().unwrap();
    let written = journal::compute(&site.db, &other, &computed(0)).await;
    assert!(!written.unwrap(), "another attempt's answers");
    assert_eq!(batch(&test, &site, "s-1").await, row.batch);
    for (at, ours) in [(1, true), (2, false)] {
        let written = journal::compute(&site.db, &row, &computed(at)).await;
        assert_eq!(written.unwrap(), ours);
        assert_eq!(batch(&test, &site, "s-1").await, computed(1));
    }
}

/// An operator is quicker: the answers that were dismissed stay on record as they were given,
/// and nobody is told that some of them were left out.
#[tokio::test]
async fn raw_answers_that_are_dismissed_while_they_are_computed_stay_raw() {
    let test = furnished().await;
    test.set_config("srs_allow_new_questions", json!(0));
    let site = test.site().await;
    submit_raw(&test, "s-1", &["NEW:1", &question_id(0)]).await;
    let raw = batch(&test, &site, "s-1").await;
    let work = waiting(&test).await;
    let paused = failpoint::pause(&test.name, "load_read");
    let applying = {
        let site = site.clone();
        tokio::spawn(async move { apply::apply(&site, &work, "test").await.remove(0) })
    };
    paused.reached().await;
    let which = Filter {
        submission_id: Some("s-1".to_owned()),
        ..Filter::default()
    };
    let dismissed = dismiss(&site, &which, "root", false).await.unwrap();
    assert_eq!(dismissed.entries.len(), 1);
    drop(paused);
    applying.await.unwrap().unwrap();
    assert_eq!(batch(&test, &site, "s-1").await, raw);
    let told = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService' \
                AND error NOT LIKE 'Dismissed by%'";
    assert_eq!(count(&test, told).await, 0);
    assert_eq!(count(&test, LOG).await, 0);
}
