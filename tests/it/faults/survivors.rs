//! Submits that were acknowledged without their row by a process that died then: any other
//! process makes their rows, from the one place that is left.

use memora_core::services::{Site, unjournaled};
use memora_tests::questions::question_id;
use memora_tests::{Sidecar, Student, TestSite, wait};
use serde_json::json;

use crate::story::{ANN, SEASON, answers, apply_all, count, forget, read, row};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
const ROWS: &str = "SELECT COUNT(*) FROM memora_srs_journal";
const SUBMITS: usize = 5;

/// MariaDB hangs, a sidecar takes submits and is killed, MariaDB is back.
async fn left_behind(test: &TestSite, student: &Student) {
    let sidecar = Sidecar::start(test).await;
    let http = sidecar.http(test);
    http.get(READ).token(student).send().await.message();
    test.mariadb.pause();
    for n in 0..SUBMITS {
        let body = json!({
            "responses": answers(&[&question_id(n)]),
            "submission_id": format!("s-{n}"),
        });
        let submit = http.post(SUBMIT).token(student).json(&body);
        assert_eq!(submit.send().await.message()["processed"], 1);
    }
    sidecar.process.kill();
    test.mariadb.resume();
    // What it had sent, MariaDB may do now; what it had not, nobody.
    test.exec("DELETE FROM memora_srs_journal", ()).await;
}

async fn stage(appendonly: bool) -> (TestSite, Student) {
    let queue = memora_tests::servers::RedisOptions {
        appendonly,
        ..Default::default()
    };
    let test = TestSite::builder()
        .own_mariadb()
        .own_queue_with(queue)
        .config("srs_state_budget_ms", json!(600))
        .config("srs_journal_budget_ms", json!(400))
        .build()
        .await;
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 20, memora_tests::Due::All)
        .await;
    (test, student)
}

/// Everything is there once, and shows.
async fn all_there(test: &TestSite, site: &std::sync::Arc<Site>) {
    assert_eq!(apply_all(test, site).await, SUBMITS);
    assert_eq!(
        count(test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        SUBMITS as u64
    );
    for n in 0..SUBMITS {
        assert!(row(test, &question_id(n)).await.unwrap().1 > 0);
    }
    forget(test).await;
    assert_eq!(read(site).await.total_due, 20 - SUBMITS as u64);
}

#[tokio::test]
async fn the_spool_alone_is_replayed_when_another_sidecar_starts() {
    let (test, student) = stage(false).await;
    left_behind(&test, &student).await;
    let mut queue = test.queue.connection().await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut queue)
        .await
        .unwrap();
    let spool = test.config().spool_dir();
    assert!(std::fs::read_dir(&spool).unwrap().count() > 0);
    let _other = Sidecar::start(&test).await;
    wait::until("the rows are there", || async {
        (count(&test, ROWS).await == SUBMITS as u64).then_some(())
    })
    .await;
    wait::until("the file is gone", || async {
        (std::fs::read_dir(&spool).unwrap().count() == 0).then_some(())
    })
    .await;
    all_there(&test, &test.site().await).await;
}

#[tokio::test]
async fn the_queue_alone_is_replayed_by_a_process_whose_host_lost_its_disk() {
    let (test, student) = stage(true).await;
    left_behind(&test, &student).await;
    let spool = test.config().spool_dir();
    std::fs::remove_dir_all(&spool).unwrap();
    // What takes its place cannot even be listed.
    std::fs::write(&spool, "").unwrap();
    test.queue.server.start_again().await;
    let site = test.site().await;
    let _ = unjournaled::look(&site).await;
    assert_eq!(count(&test, ROWS).await, SUBMITS as u64);
    assert!(!site.unjournaled.are_there().await.unwrap());
    all_there(&test, &site).await;
}
