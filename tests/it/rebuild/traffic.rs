//! Students who read and submit while the cache is rebuilt, through a sidecar of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memora_core::services::schedule::{self, Owner};
use memora_core::types::Player;
use memora_tests::questions::question_id;
use memora_tests::{Due, Sidecar, Student, TestSite, Worker, wait};
use serde_json::json;

use super::{all_right, full, none_wrong, rebuilt, student};
use crate::story::{SEASON, season};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

const STUDENTS: usize = 8;
const QUESTIONS: usize = 40;

/// One student: answers a question, and does not see it as due any more. Says how many
/// answers were taken.
async fn learns(http: memora_tests::Http, student: Student, stop: Arc<AtomicBool>) -> u64 {
    let mut taken = 0;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let question = question_id(n % QUESTIONS);
        let answer = json!({
            "responses": [{"question_id": question, "quality": 5, "response_time_ms": 1000}],
            "submission_id": format!("s-{n}"),
        });
        let submitted = http.post(SUBMIT).token(&student).json(&answer).send().await;
        assert_eq!(submitted.status, 200, "{}", submitted.text());
        let is_sure = submitted
            .message()
            .get("is_degraded")
            .is_none_or(|d| d != true);
        taken += 1;
        let read = http.get(READ).token(&student).query(&[("limit", "50")]);
        let read = read.send().await;
        assert_eq!(read.status, 200, "{}", read.text());
        let message = read.message();
        let stale = message["questions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|q| q["question_id"] == question.as_str());
        assert!(
            !stale || !is_sure,
            "{question} is shown after its answer: {message}"
        );
    }
    taken
}

#[tokio::test]
async fn nobody_reads_what_is_stale_and_nothing_wrong_is_left() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let mut students = Vec::new();
    for i in 0..STUDENTS {
        students.push(test.add_student(&student(i)).await);
        test.add_questions(&student(i), SEASON, QUESTIONS, Due::All)
            .await;
    }
    for i in STUDENTS..60 {
        test.add_questions(&student(i), SEASON, 100, Due::None)
            .await;
    }
    let sidecar = Sidecar::start(&test).await;
    let _worker = Worker::start(&test);
    let stop = Arc::new(AtomicBool::new(false));
    let mut learning = tokio::task::JoinSet::new();
    for student in students {
        learning.spawn(learns(sidecar.http(&test), student, stop.clone()));
    }
    let evicted = Arc::new(AtomicU64::new(0));
    let evicting = tokio::spawn(evicts(test.cache.connection().await, evicted.clone()));
    let site = test.site().await;
    let mut filled = 0;
    for _ in 0..6 {
        let options = super::Options {
            from_start: true,
            ..full()
        };
        let report = rebuilt(&site, &options).await.unwrap();
        assert_eq!(report.total_users, 60);
        filled += report.total_keys;
        // Removals, too: what is taken out of the cache stays out until it is filled anew.
        let owner = Owner::new(&student(59), SEASON).unwrap();
        schedule::remove_item(&site, &owner, &question_id(1))
            .await
            .unwrap();
    }
    assert!(filled > 300, "{filled}");
    assert!(evicted.load(Ordering::Relaxed) > 10);
    evicting.abort();
    let _ = evicting.await;
    stop.store(true, Ordering::Relaxed);
    let mut taken = BTreeMap::new();
    while let Some(done) = learning.join_next().await {
        *taken.entry(()).or_insert(0) += done.unwrap();
    }
    assert!(taken[&()] > 50, "{taken:?}");
    wait::until("all is applied", || async {
        let left = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
        (crate::story::count(&test, left).await == 0).then_some(())
    })
    .await;
    site.cache
        .invalidate(&Player::stored(student(59)), &season())
        .await
        .unwrap();
    none_wrong(&test, &site, 60).await;
    let last = rebuilt(&site, &full()).await.unwrap();
    assert_eq!((last.total_keys, last.left), (60, 0));
    all_right(&test, &site, (0..60).map(student)).await;
}

/// Takes away keys at random, as bench's Redis does.
async fn evicts(mut redis: redis::aio::MultiplexedConnection, evicted: Arc<AtomicU64>) {
    loop {
        let key: Option<String> = redis::cmd("RANDOMKEY")
            .query_async(&mut redis)
            .await
            .unwrap();
        let is_ours = |key: &String| key.contains("srs:") && !key.contains("rq:");
        if let Some(key) = key.filter(is_ours) {
            let gone: u64 = redis::cmd("UNLINK")
                .arg(&key)
                .query_async(&mut redis)
                .await
                .unwrap();
            evicted.fetch_add(gone, Ordering::Relaxed);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
