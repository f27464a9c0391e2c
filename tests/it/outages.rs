//! Servers that neither answer nor hang up: worse than ones that are gone.

use std::sync::Arc;
use std::time::Duration;

use memora_core::services::read::ReviewSession;
use memora_core::services::{Site, apply};
use memora_core::{ErrorKind, Result};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::story::{apply_all, count, forget, furnish, read, submit, try_read, waiting, warm};

/// So many reads at once: what came of each, and how long the last took.
async fn crowd(site: &Arc<Site>, size: usize) -> (Vec<Result<ReviewSession>>, Duration) {
    let started = Instant::now();
    let readers: Vec<_> = (0..size)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move { try_read(&site, json!({"limit": 50})).await })
        })
        .collect();
    let mut answers = Vec::new();
    for reader in readers {
        answers.push(reader.await.expect("a reader"));
    }
    (answers, started.elapsed())
}

#[tokio::test]
async fn a_frozen_redis_makes_a_crowd_wait_once_and_not_in_a_row() {
    let test = TestSite::builder()
        .own_cache()
        .config("srs_safe_mode_user_seconds", json!(0))
        .build()
        .await;
    furnish(&test, 20, 20).await;
    let site = test.site().await;
    warm(&site).await;
    test.cache.server.pause();
    // First over the connection that is open, then over none.
    for round in 0..2 {
        let (sessions, took) = crowd(&site, 30).await;
        for session in sessions {
            let session = session.unwrap();
            assert_eq!((session.total_due, session.is_degraded), (20, true));
        }
        assert!(took < Duration::from_secs(8), "round {round}: {took:?}");
    }
    test.cache.server.resume();
    wait::until("reads are normal again", || async {
        (!read(&site).await.is_degraded).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_mariadb_leaves_warm_students_served_and_nobody_waiting_for_ever() {
    let test = TestSite::builder()
        .own_mariadb()
        .config("srs_season_cache_s", json!(1))
        .config("srs_journal_budget_ms", json!(500))
        .build()
        .await;
    furnish(&test, 20, 20).await;
    let site = test.site().await;
    warm(&site).await;
    let warm_answer = read(&site).await;
    test.mariadb.pause();
    sleep(Duration::from_millis(1100)).await;
    for _ in 0..2 {
        let (sessions, took) = crowd(&site, 30).await;
        for session in sessions {
            assert_eq!(session.unwrap(), warm_answer);
        }
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
    // Queue and spool together keep it, and the cache shows it.
    let known = question_id(0);
    let answered = [known.as_str()];
    let submitting = submit(&site, "s-1", &answered);
    let answer = timeout(Duration::from_secs(15), submitting).await.unwrap();
    assert!(!answer.is_degraded);
    assert_eq!(read(&site).await.total_due, 19);
    // Cold: nothing can answer, but not for ever.
    forget(&test).await;
    let (sessions, took) = crowd(&site, 30).await;
    for session in sessions {
        assert_eq!(session.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(took < Duration::from_secs(15), "{took:?}");

    test.mariadb.resume();
    // The statements that were given up may still be done; one submission, one effect.
    submit(&site, "s-1", &answered).await;
    assert_eq!(read(&site).await.total_due, 19);
    wait::until("the row is there, and its entry taken out", || async {
        let journaled = count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await;
        let noted = site.unjournaled.are_there().await.unwrap();
        (journaled == 1 && !noted).then_some(())
    })
    .await;
    assert_eq!(apply_all(&test, &site).await, 1);
    let logged = count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await;
    assert_eq!(logged, 1);
    forget(&test).await;
    assert_eq!(read(&test.site().await).await.total_due, 19);
}

#[tokio::test]
async fn a_worker_without_mariadb_tries_a_batch_and_not_each_of_it() {
    let test = TestSite::builder().own_mariadb().build().await;
    furnish(&test, 20, 20).await;
    let site = test.site().await;
    for i in 0..20 {
        submit(&site, &format!("s-{i}"), &[&question_id(i)]).await;
    }
    let work = waiting(&test).await;
    test.mariadb.kill();
    let started = Instant::now();
    let outcomes = apply::apply(&site, &work, "test").await;
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(outcomes.len(), 20);
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    test.mariadb.start_again().await;
    assert_eq!(apply_all(&test, &site).await, 20);
}
