//! What is done for many submits at once: written together, applied together, and each still
//! with an outcome of its own.

use futures_util::future::join_all;
use memora_core::ErrorKind;
use memora_core::batch::{Door, SubmissionKey};
use memora_core::services::apply;
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::store::journal::{self, Inserted, JournalRow};
use memora_core::types::{Player, SubmissionId, UtcMicros};
use memora_tests::TestSite;
use memora_tests::count::SqlCounter;
use memora_tests::questions::question_id;
use memora_tests::servers::MariaDbOptions;
use serde_json::json;

use crate::story::{SEASON, answers, count, waiting};

const STUDENTS: usize = 48;

fn student(n: usize) -> String {
    format!("student-{n:02}@example.com")
}

fn request(id: &str, question: usize) -> SubmitRequest {
    let body = json!({"responses": answers(&[&question_id(question)]), "submission_id": id});
    let args = body.as_object().cloned().unwrap_or_default();
    SubmitRequest::from_args(&args, None, None).unwrap()
}

/// A site with many students, each with a few questions.
async fn crowd(test: &TestSite) {
    test.add_season(SEASON).await;
    let names: Vec<String> = (0..STUDENTS).map(student).collect();
    let students = test.add_students(&names).await;
    test.add_questions_to_all(&students, SEASON, 3, 3).await;
}

#[tokio::test]
async fn submits_that_meet_share_statements_and_each_has_its_row() {
    let test = TestSite::builder()
        .own_mariadb_with(MariaDbOptions::default())
        .build()
        .await;
    crowd(&test).await;
    let site = test.site().await;
    let submit = async |n: usize| {
        let player = Player::stored(student(n));
        let request = request("s-1", 0);
        let now = UtcMicros::now();
        submit_review_session(&site, &player, &request, Door::Http, now).await
    };
    // Season, zone and scripts are known then.
    submit(0).await.unwrap();
    let sql = SqlCounter::start(&test).await;
    for answer in join_all((1..STUDENTS).map(submit)).await {
        assert!(!answer.unwrap().is_degraded);
    }
    let inserts = sql.take().await;
    let inserts = inserts
        .iter()
        .filter(|sql| sql.contains("INSERT INTO memora_srs_journal"));
    assert!(inserts.count() < STUDENTS / 2);
    let rows = "SELECT COUNT(DISTINCT player) FROM memora_srs_journal";
    assert_eq!(count(&test, rows).await, STUDENTS as u64);
}

/// Whoever meets others hears of their own row, not of a neighbour's.
#[tokio::test]
async fn of_submits_that_meet_those_whose_id_is_used_are_told() {
    let test = TestSite::builder().own_queue().build().await;
    crowd(&test).await;
    let site = test.site().await;
    let submit = async |n: usize, question: usize| {
        let player = Player::stored(student(n));
        let request = request("s-1", question);
        let now = UtcMicros::now();
        submit_review_session(&site, &player, &request, Door::Http, now).await
    };
    let is_used = |n: usize| n.is_multiple_of(5);
    for n in (0..STUDENTS).filter(|n| is_used(*n)) {
        submit(n, 0).await.unwrap();
    }
    // The queue has forgotten them: only their rows know.
    let mut redis = test.queue.connection().await;
    let () = redis::cmd("FLUSHDB").query_async(&mut redis).await.unwrap();
    for (n, answer) in join_all((0..STUDENTS).map(|n| submit(n, 1)))
        .await
        .into_iter()
        .enumerate()
    {
        match answer {
            Ok(_) => assert!(!is_used(n), "{n}: other answers under a used id were taken"),
            Err(error) => {
                assert!(is_used(n), "{n}: {error}");
                assert_eq!(error.kind(), ErrorKind::Conflict, "{n}");
            }
        }
    }
    let rows = "SELECT COUNT(DISTINCT player) FROM memora_srs_journal";
    assert_eq!(count(&test, rows).await, STUDENTS as u64);
}

#[tokio::test]
async fn of_rows_made_together_each_has_its_own_outcome() {
    let test = TestSite::new().await;
    crowd(&test).await;
    let site = test.site().await;
    for n in 0..3 {
        let now = UtcMicros::now();
        let player = Player::stored(student(n));
        submit_review_session(&site, &player, &request("s-1", 0), Door::Http, now)
            .await
            .unwrap();
    }
    let mut rows = Vec::new();
    for (n, id) in [(0, "new-1"), (1, "s-1"), (2, "new-2"), (2, "new-2")] {
        let key = SubmissionKey {
            player: Player::stored(student(n)),
            submission: SubmissionId::parse("id", "s-1").unwrap(),
        };
        let mut submission = journal::find(&site.db, &key).await.unwrap().unwrap();
        submission.key.submission = SubmissionId::parse("id", id).unwrap();
        rows.push(JournalRow::new(&submission).unwrap());
    }
    let mut conn = site.db.conn().await.unwrap();
    let made = journal::insert_all(&mut conn, &rows).await;
    let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    use Inserted::{Taken, Yes};
    assert_eq!(made, [Yes, Taken, Yes, Taken]);
}

#[tokio::test]
async fn many_are_applied_at_once_and_a_bad_one_harms_no_other() {
    let test = TestSite::new().await;
    crowd(&test).await;
    let site = test.site().await;
    for n in 0..STUDENTS {
        let now = UtcMicros::now();
        let player = Player::stored(student(n));
        submit_review_session(&site, &player, &request("s-1", 0), Door::Http, now)
            .await
            .unwrap();
    }
    // One in each half of the students.
    let bad = [student(5), student(40)];
    test.exec(
        "UPDATE memora_srs_journal SET payload = '{}' WHERE player IN (?, ?)",
        (&bad[0], &bad[1]),
    )
    .await;
    let mut work = waiting(&test).await;
    work.reverse();
    let outcomes = apply::apply(&site, &work, "test").await;
    assert_eq!(outcomes.len(), STUDENTS);
    for (work, outcome) in work.iter().zip(outcomes) {
        let is_bad = bad.iter().any(|name| work.key.player.as_str() == name);
        assert_eq!(outcome.is_err(), is_bad, "{}", work.key.player);
    }
    let written = "SELECT COUNT(*) FROM `tabPlayer Memory Tracker` WHERE review_version > 0";
    assert_eq!(count(&test, written).await, STUDENTS as u64 - 2);
    let cached = "SELECT COUNT(*) FROM memora_srs_journal WHERE cached_at IS NOT NULL";
    assert_eq!(count(&test, cached).await, STUDENTS as u64 - 2);
}
