//! A crowd of students who are cold in everything asks at once.

use std::time::Duration;

use futures_util::future::join_all;
use memora_tests::questions::question_id;
use memora_tests::{Sidecar, Student, TestSite, wait};
use mysql_async::prelude::Queryable;
use serde_json::json;
use tokio::time::sleep;

use crate::story::SEASON;

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
const STUDENTS: usize = 300;
const QUESTIONS: usize = 60;
const DUE: usize = 30;
/// `srs_mariadb_loads` and `srs_mariadb_connections` of the site.
const LOADS: usize = 4;
const CONNECTIONS: usize = 8;

/// Statements of the site that run now: all, and those that read schedules.
async fn running(root: &mut mysql_async::Conn, user: &str) -> (usize, usize) {
    let sql = "SELECT info FROM information_schema.processlist \
               WHERE user = ? AND command <> 'Sleep'";
    let running: Vec<Option<String>> = root.exec(sql, (user,)).await.unwrap();
    let reads = |info: &&Option<String>| {
        let info = info.as_deref().unwrap_or_default();
        info.contains("tabPlayer Memory Tracker")
    };
    (running.len(), running.iter().filter(reads).count())
}

#[tokio::test]
async fn all_are_answered_in_the_end_and_mariadb_sees_few_at_once() {
    let test = TestSite::builder()
        .own_mariadb()
        .own_cache()
        .config("srs_mariadb_loads", json!(LOADS))
        .config("srs_mariadb_connections", json!(CONNECTIONS))
        .build()
        .await;
    test.add_season(SEASON).await;
    let names: Vec<String> = (0..STUDENTS)
        .map(|n| format!("student{n:03}@example.com"))
        .collect();
    let students = test.add_students(&names).await;
    test.add_questions_to_all(&students, SEASON, QUESTIONS, DUE)
        .await;
    let sidecar = Sidecar::start(&test).await;
    let mut redis = test.cache.connection().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();

    let mut root = test.mariadb.root().await.unwrap();
    let user = test.db_name.clone();
    let watching = tokio::spawn(async move {
        loop {
            let (all, reads) = running(&mut root, &user).await;
            assert!(all <= CONNECTIONS && reads <= LOADS, "{all}, {reads}");
            sleep(Duration::from_millis(2)).await;
        }
    });
    let asking = students.iter().enumerate().map(async |(n, student)| {
        ask(&sidecar, &test, student, n.is_multiple_of(2)).await;
    });
    join_all(asking).await;
    wait::until("every key is complete", || async {
        (complete(&test).await == STUDENTS).then_some(())
    })
    .await;
    assert!(!watching.is_finished(), "{:?}", watching.await);
    watching.abort();
}

/// Keys with all questions; the marker is a member too.
async fn complete(test: &TestSite) -> usize {
    let mut redis = test.cache.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("srs:*")
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut complete = 0;
    for key in keys {
        let members: usize = redis::cmd("ZCARD")
            .arg(key)
            .query_async(&mut redis)
            .await
            .unwrap();
        complete += usize::from(members == QUESTIONS + 1);
    }
    complete
}

/// Asks until there is an answer, which must be right; a refusal must say when to come back.
async fn ask(sidecar: &Sidecar, test: &TestSite, student: &Student, by_session: bool) {
    let http = sidecar.http(test);
    wait::until("there is an answer", || async {
        let call = match by_session {
            true => http.get(READ).cookie(student),
            false => http.get(READ).token(student),
        };
        let answer = call.send().await;
        if answer.status == 503 {
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            sleep(Duration::from_secs(seconds)).await;
            return None;
        }
        let session = answer.message();
        assert_eq!(session["total_due"], DUE);
        assert_eq!(session["is_degraded"], false);
        let shown = session["questions"].as_array().unwrap();
        assert_eq!(shown.len(), 20);
        for (i, question) in shown.iter().enumerate() {
            assert_eq!(question["question_id"], question_id(i));
        }
        Some(())
    })
    .await;
}
