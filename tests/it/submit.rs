//! `submit_review_session`: durable, once, and visible at once.

use std::collections::{HashMap, HashSet};

use memora_core::ErrorKind;
use memora_core::batch::Door;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::types::UtcMicros;
use memora_tests::questions::question_id;
use memora_tests::{Due, TestSite, wait};
use redis::AsyncCommands;
use serde_json::json;

use crate::story::{
    ANN, SEASON, ann, answers, apply_all, count, forget, furnish, ids, read, row, season,
    site_with, submit, try_submit, warm,
};

/// Bytes of a record of the details, and records that a bucket may have.
const RECORD: usize = 34;
const OVERFULL: usize = 32;

#[tokio::test]
async fn the_next_read_shows_the_new_schedule_from_any_process() {
    let test = site_with(40, 20).await;
    let (one, other) = (test.site().await, test.site().await);
    for warmed in [false, true] {
        forget(&test).await;
        if warmed {
            warm(&one).await;
        }
        let before = read(&one).await;
        let first = before.questions[0].question_id.as_str();
        let answer = submit(&one, &format!("s-{warmed}"), &[first]).await;
        assert_eq!(
            (answer.status, answer.processed, answer.xp_earned),
            ("success", 1, 20)
        );
        assert!(!answer.is_degraded);
        for site in [&one, &other] {
            let after = read(site).await;
            assert_eq!(after.total_due, before.total_due - 1);
            assert!(!ids(&after).contains(&first));
        }
    }
}

#[tokio::test]
async fn workers_stopped_keys_dropped_the_new_schedule_shows() {
    let test = site_with(30, 30).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(3), &question_id(4)]).await;
    forget(&test).await;
    let after = read(&test.site().await).await;
    assert_eq!(after.total_due, 28);
    assert_eq!(
        row(&test, &question_id(3)).await.unwrap().1,
        0,
        "not applied yet"
    );
    apply_all(&test, &site).await;
    assert!(row(&test, &question_id(3)).await.unwrap().1 > 0);
}

#[tokio::test]
async fn one_submission_fifty_times_at_once_through_two_processes_has_one_effect() {
    let test = site_with(20, 20).await;
    let sites = [test.site().await, test.site().await];
    warm(&sites[0]).await;
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let site = sites[i % 2].clone();
            tokio::spawn(
                async move { submit(&site, "once", &[&question_id(0), &question_id(1)]).await },
            )
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        seen.insert(format!("{:?}", task.await.unwrap()));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        1
    );
    let mut redis = test.queue.connection().await;
    let queue = format!("rq:queue:{}:srs_write", test.bench_id);
    let jobs: Vec<String> = redis::cmd("LRANGE")
        .arg(queue)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(jobs.len(), 1);
    apply_all(&test, &sites[0]).await;
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        2
    );
    let cached = read(&sites[0]).await;
    forget(&test).await;
    assert_eq!(
        read(&sites[0]).await.questions,
        cached.questions,
        "cache and table agree"
    );
}

#[tokio::test]
async fn a_used_id_with_other_answers_is_a_conflict_and_changes_nothing() {
    let test = site_with(20, 20).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let refused = try_submit(&site, "s-1", answers(&[&question_id(1)]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(read(&site).await.total_due, 19);
    // The same id of another student is another submission.
    test.add_student("bob@example.com").await;
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        1
    );
}

#[tokio::test]
async fn a_question_twice_in_a_batch_is_answered_in_order() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    let q = question_id(0);
    let twice = json!([
        {"question_id": q, "quality": 0},
        {"question_id": q, "quality": 5},
    ]);
    let answer = try_submit(&site, "s-1", twice).await.unwrap();
    assert_eq!((answer.processed, answer.xp_earned), (2, 25));
    apply_all(&test, &site).await;
    let log: Vec<(u8, i64, Option<i64>)> = test
        .query("SELECT quality, review_version, version_before FROM memora_srs_review_log ORDER BY seq", ())
        .await;
    assert_eq!((log[0].0, log[1].0), (0, 5));
    assert_eq!(log[1].1, log[0].1 + 1);
    assert_eq!(
        log[1].2,
        Some(log[0].1),
        "the second answer met what the first made"
    );
    assert_eq!(row(&test, &q).await.unwrap().1, log[1].1);
}

#[tokio::test]
async fn new_questions_are_taken_within_limits_and_never_bring_a_subject() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    warm(&site).await;
    let new = json!([{"question_id": "NEW:1", "quality": 4, "subject": "Hacking", "topic": "x"}]);
    try_submit(&site, "s-1", new).await.unwrap();
    apply_all(&test, &site).await;
    let subject: Option<(Option<String>,)> = test
        .query_one(
            "SELECT subject FROM `tabPlayer Memory Tracker` WHERE question_id = 'NEW:1'",
            (),
        )
        .await;
    assert_eq!(subject, Some((None,)));

    test.set_config("srs_max_questions", json!(4));
    let full = test.site().await;
    for warmed in [true, false] {
        if !warmed {
            forget(&test).await;
        }
        let refused = try_submit(&full, "s-2", answers(&["NEW:2"]))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(
            refused.message().contains("responses[0].question_id"),
            "{refused}"
        );
    }
    test.set_config("srs_max_questions", json!(100));
    test.set_config("srs_allow_new_questions", json!(0));
    let closed = test.site().await;
    let refused = try_submit(&closed, "s-3", answers(&["NEW:3"]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    submit(&closed, "s-4", &["NEW:1"]).await;
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        2
    );
}

/// Token and number of the buckets that the details are dealt into, and the records in the
/// fullest.
async fn dealt(test: &TestSite) -> (String, usize, usize) {
    let mut redis = test.cache.connection().await;
    let key = test.site().await.cache.keys(&ann(), &season()).details();
    let mut fields: HashMap<String, Vec<u8>> = redis.hgetall(key).await.unwrap();
    let meta = String::from_utf8(fields.remove("m").unwrap()).unwrap();
    let (token, buckets) = meta.split_once(':').unwrap();
    let records = fields.iter().filter(|(name, _)| name.starts_with('b'));
    let fullest = records.map(|(_, records)| records.len() / RECORD).max();
    (token.to_owned(), buckets.parse().unwrap(), fullest.unwrap())
}

/// A record is looked for in all of its bucket: a schedule that grows by much must not stay as
/// it was dealt.
#[tokio::test]
async fn a_schedule_that_grew_is_dealt_anew() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    warm(&site).await;
    let (first, buckets, _) = dealt(&test).await;
    assert_eq!(buckets, 16);
    let new: Vec<String> = (0..800).map(|n| format!("NEW:{n}")).collect();
    let mut submits = 0;
    for ids in new.chunks(50) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        submit(&site, &format!("s-{submits}"), &ids).await;
        submits += 1;
        let (token, _, fullest) = dealt(&test).await;
        if token != first || fullest > OVERFULL {
            break;
        }
    }
    // The ids are what they are: after the eighth one bucket is just full.
    assert_eq!(submits, 9);
    wait::until("the details are dealt anew", async || {
        let (token, buckets, fullest) = dealt(&test).await;
        (token != first && buckets > 30 && fullest <= OVERFULL).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ids_that_the_table_takes_for_the_same_are_one_question() {
    let test = TestSite::new().await;
    furnish(&test, 0, 0).await;
    test.add_questions(ANN, SEASON, 1, Due::All).await;
    test.exec(
        "UPDATE `tabPlayer Memory Tracker` SET question_id = 'Äpfel:1'",
        (),
    )
    .await;
    let site = test.site().await;
    for warmed in [false, true] {
        if warmed {
            warm(&site).await;
        }
        let id = if warmed { "APFEL:1" } else { "äpfel:1" };
        submit(&site, &format!("s-{warmed}"), &[id]).await;
    }
    // New ones, in one batch and against what is not applied yet.
    submit(&site, "s-3", &["Birne:1", "BIRNE:1", "birné:1"]).await;
    submit(&site, "s-4", &["bírne:1"]).await;
    submit(&site, "s-5", &["plum:1", "PLUM:1"]).await;
    warm(&site).await;
    let known = site
        .cache
        .states(
            &crate::story::ann(),
            &crate::story::season(),
            &["Äpfel:1", "Birne:1", "plum:1"],
        )
        .await
        .unwrap();
    let memora_core::schedule_cache::Lookup::Complete(known) = known else {
        panic!("incomplete")
    };
    assert_eq!(known.questions, 3);
    apply_all(&test, &site).await;
    let rows: Vec<String> = test
        .query(
            "SELECT question_id FROM `tabPlayer Memory Tracker` ORDER BY question_id",
            (),
        )
        .await;
    assert_eq!(rows, ["Äpfel:1", "Birne:1", "plum:1"]);
}

#[tokio::test]
async fn without_an_active_season_a_submit_is_refused() {
    let test = TestSite::new().await;
    test.add_student(ANN).await;
    let refused = try_submit(&test.site().await, "s-1", answers(&["a"]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(refused.message(), "No season is active");
}

#[tokio::test]
async fn without_journal_and_disk_nothing_is_acknowledged_and_a_retry_has_one_effect() {
    let test = site_with(10, 10).await;
    test.set_config("srs_spool_dir", json!("site_config.json/spool"));
    let site = test.site().await;
    warm(&site).await;
    test.exec("RENAME TABLE memora_srs_journal TO journal_away", ())
        .await;
    let refused = try_submit(&site, "s-1", answers(&[&question_id(0)]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.submission_id(), Some("s-1"));
    assert!(refused.retry_after().is_some());
    test.exec("RENAME TABLE journal_away TO memora_srs_journal", ())
        .await;
    assert_eq!(read(&site).await.total_due, 10, "the cache is untouched");
    submit(&site, "s-1", &[&question_id(0)]).await;
    assert_eq!(read(&site).await.total_due, 9);
    assert_eq!(apply_all(&test, &site).await, 1);
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        1
    );
}

#[tokio::test]
async fn without_the_queue_the_journal_hands_on() {
    let test = TestSite::builder()
        .own_queue_with(Default::default())
        .build()
        .await;
    furnish(&test, 10, 10).await;
    let site = test.site().await;
    // Who has never heard from the queue's Redis computes nothing (`faults::started`).
    submit(&site, "s-0", &[&question_id(1)]).await;
    test.queue.server.kill();
    let answer = submit(&site, "s-1", &[&question_id(0)]).await;
    assert!(
        answer.persistence_job_id.contains("srs_persist_"),
        "{answer:?}"
    );
    assert_eq!(read(&site).await.total_due, 8);
    assert_eq!(apply_all(&test, &site).await, 2);
}

#[tokio::test]
async fn a_due_time_leaves_the_hour_that_comes_twice_in_cache_and_table() {
    let test = TestSite::builder()
        .zone(chrono_tz::Tz::Europe__Berlin)
        .build()
        .await;
    furnish(&test, 1, 0).await;
    let site = test.site().await;
    warm(&site).await;
    let ask = async |submission: &str, question: &str, now: UtcMicros| {
        let body = json!({"responses": answers(&[question]), "submission_id": submission});
        let request = SubmitRequest::from_args(&crate::story::args(body), None, None).unwrap();
        submit_review_session(&site, &ann(), &request, Door::Http, now)
            .await
            .unwrap();
    };
    let cached = async |question: &str| {
        let known = site.cache.states(&ann(), &season(), &[question]).await;
        match known.unwrap() {
            Lookup::Complete(mut known) => match known.states.remove(0) {
                Known::State(state) => state.due,
                other => panic!("{other:?}"),
            },
            Lookup::Incomplete => panic!("incomplete"),
        }
    };
    // How long a new question is put off, then a moment so much before the fold's middle.
    let summer = UtcMicros(1_782_864_000 * 1_000_000);
    ask("s-1", "NEW:1", summer).await;
    let interval = cached("NEW:1").await.0 - summer.0;
    let fold = 1_792_886_400 + 1_800; // 2026-10-25 00:30 UTC, 2:30 in Berlin.
    ask("s-2", "NEW:2", UtcMicros(fold * 1_000_000 - interval)).await;
    let settled = UtcMicros((1_792_886_400 + 7_200) * 1_000_000); // 3:00, once.
    assert_eq!(cached("NEW:2").await, settled);
    apply_all(&test, &site).await;
    forget(&test).await;
    warm(&site).await;
    assert_eq!(cached("NEW:2").await, settled, "read back from the table");
}
