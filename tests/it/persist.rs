//! `persist_review_batch`: each shape of a batch, applied once however often it comes.

use std::sync::Arc;

use memora_core::batch::Door;
use memora_core::queue::PersistCall;
use memora_core::services::Site;
use memora_core::services::persist::{JobOptions, Persisted, persist_review_batch};
use memora_core::services::sweep::sweep;
use memora_core::types::UtcMicros;
use memora_core::{ErrorKind, Result, failpoint};
use memora_tests::TestSite;
use memora_tests::questions::question_id;
use serde_json::{Value, json};

use crate::story::{
    ANN, SEASON, answers, apply_all, count, forget, is_complete, read, row, site_with, submit,
    try_read, waiting, warm, warm_with,
};

const LOG: &str = "SELECT COUNT(*) FROM memora_srs_review_log";
const AUDIT: &str = "SELECT COUNT(*) FROM memora_srs_audit";
const JOURNAL: &str = "SELECT COUNT(*) FROM memora_srs_journal";
const OVERDUE: &str = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 6 SECOND";

/// Ten minutes ago, with microseconds.
fn enqueued() -> UtcMicros {
    UtcMicros(UtcMicros::now().plus_seconds(-600).floor_seconds().0 + 123_456)
}

fn job(id: &str, enqueued_at: UtcMicros) -> JobOptions {
    JobOptions {
        job_id: Some(id.to_owned()),
        enqueued_at: Some(enqueued_at),
        ..JobOptions::default()
    }
}

async fn persist(site: &Arc<Site>, responses: Value, options: JobOptions) -> Result<Persisted> {
    persist_review_batch(site, responses, ANN, SEASON, options, "test").await
}

/// An item as the implementation before this one queued it.
fn ready(question: &str, stability: f64, due: &str) -> Value {
    json!({
        "question_id": question, "quality": 4, "response_time_ms": 1774,
        "new_stability": stability, "new_next_review_date": due,
        "subject": null, "topic": null,
    })
}

/// Due time (wall), last review (wall), subject and topic of a row.
async fn details(
    test: &TestSite,
    question: &str,
) -> (
    chrono::NaiveDateTime,
    chrono::NaiveDateTime,
    Option<String>,
    Option<String>,
) {
    test.query_one(
        "SELECT next_review_date, last_review_date, subject, topic \
         FROM `tabPlayer Memory Tracker` WHERE player = ? AND season = ? AND question_id = ?",
        (ANN, SEASON, question),
    )
    .await
    .unwrap()
}

/// The arguments of the job that waits in the queue.
async fn queued_job(test: &TestSite) -> (Value, JobOptions) {
    let mut redis = test.queue.connection().await;
    let queue = format!("rq:queue:{}:srs_write", test.bench_id);
    let ids: Vec<String> = redis::cmd("LRANGE")
        .arg(queue)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let hash = redis::cmd("HGETALL")
        .arg(format!("rq:job:{}", ids[0]))
        .query_async(&mut redis)
        .await
        .unwrap();
    let call = PersistCall::from_hash(&ids[0], &hash).unwrap();
    let options = JobOptions {
        job_id: call.job_id,
        enqueued_at: call.enqueued_at,
        submission_id: call.submission_id.map(|id| id.as_str().to_owned()),
        attempt: call.attempt.map(memora_core::batch::Attempt::to_hex),
        fingerprint: call.fingerprint.map(hex::encode),
        v: call.v,
        door: call.door.map(|door| door.name().to_owned()),
        at: call.at,
    };
    (call.responses, options)
}

#[tokio::test]
async fn a_complete_batch_is_its_journal_row_made_if_it_is_missing() {
    for row_is_there in [true, false] {
        let test = site_with(5, 5).await;
        let site = test.site().await;
        submit(&site, "s-1", &[&question_id(0), &question_id(1)]).await;
        let (responses, options) = queued_job(&test).await;
        if !row_is_there {
            test.exec("DELETE FROM memora_srs_journal", ()).await;
        }
        for _ in 0..2 {
            let persisted = persist(&site, responses.clone(), options.clone()).await;
            assert_eq!(persisted.unwrap().processed_count, 2);
        }
        let facts = (count(&test, LOG).await, count(&test, AUDIT).await);
        assert_eq!(facts, (2, 1), "row there: {row_is_there}");
        let audit: Option<(String, String)> = test
            .query_one("SELECT worker, job_id FROM memora_srs_audit", ())
            .await;
        assert_eq!(audit, Some(("test".to_owned(), options.job_id.unwrap())));
        assert!(row(&test, &question_id(0)).await.unwrap().1 > 0);
    }
}

#[tokio::test]
async fn a_ready_state_is_taken_as_it_is_at_the_time_of_its_job() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    warm(&site).await;
    test.exec("INSERT INTO `tabGame Topic` (name) VALUES ('Optics')", ())
        .await;
    let at = enqueued();
    let mut new = ready("NEW:1", 3.0, "2036-12-01 10:00:00.123456");
    new["subject"] = json!("physics");
    new["topic"] = json!("optics");
    let mut gone = ready(&question_id(0), 2.5, "2036-12-01T10:00:00");
    gone["subject"] = json!("No such subject");
    // Set by hand, with no answer behind it.
    let bare = json!({"question_id": question_id(1), "new_stability": 1,
                      "new_next_review_date": "2036-12-02T10:00:00"});
    let batch = json!([new, gone, bare]);

    for _ in 0..2 {
        let persisted = persist(&site, batch.clone(), job("srs.localhost::j-1", at)).await;
        assert_eq!(persisted.unwrap().processed_count, 3);
    }

    assert_eq!(row(&test, "NEW:1").await, Some((3.0, at.0)));
    let (due, last, subject, topic) = details(&test, "NEW:1").await;
    assert_eq!(due.to_string(), "2036-12-01 10:00:00.123456");
    let zone = site.zone(at).await.unwrap();
    assert_eq!(last, zone.to_wall(at), "site wall time");
    assert_eq!(
        (subject.as_deref(), topic.as_deref()),
        (Some("Physics"), Some("Optics")),
        "in their stored spelling"
    );
    let (_, _, subject, _) = details(&test, &question_id(0)).await;
    assert_eq!(
        subject.as_deref(),
        Some("Mathematics"),
        "what does not exist leaves what is on record"
    );
    assert_eq!(row(&test, &question_id(1)).await, Some((1.0, at.0)));
    assert_eq!(
        count(&test, LOG).await,
        2,
        "a state set by hand is no review"
    );
    assert_eq!(
        (count(&test, JOURNAL).await, count(&test, AUDIT).await),
        (1, 1)
    );
    let submission: Option<(String,)> = test
        .query_one("SELECT submission_id FROM memora_srs_journal", ())
        .await;
    assert_eq!(submission, Some(("j-1".to_owned(),)));
    assert_eq!(read(&site).await.total_due, 3, "and the cache shows it");
}

#[tokio::test]
async fn a_review_that_came_later_stays_whatever_an_old_job_carries() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    let newest = row(&test, &question_id(0)).await;
    let batch = json!([ready(&question_id(0), 1.0, "2030-01-01T10:00:00")]);
    persist(&site, batch.clone(), job("j-1", enqueued()))
        .await
        .unwrap();
    assert_eq!(row(&test, &question_id(0)).await, newest);
    // Who sets a state at this moment means the newest.
    persist(&site, batch, JobOptions::default()).await.unwrap();
    let set = row(&test, &question_id(0)).await.unwrap();
    assert!(set.0 == 1.0 && set.1 > newest.unwrap().1, "{set:?}");
}

#[tokio::test]
async fn raw_answers_lead_to_what_a_submit_at_their_time_leads_to() {
    let (one, two) = (site_with(5, 5).await, site_with(5, 5).await);
    let at = enqueued();
    for test in [&one, &two] {
        // Rows of the same history on both sites.
        test.exec(
            "UPDATE `tabPlayer Memory Tracker` SET next_review_date = '2026-01-19 10:00:00', \
             last_review_date = '2026-01-12 10:00:00'",
            (),
        )
        .await;
    }
    let batch = json!([
        {"question_id": question_id(0), "quality": 4, "response_time_ms": 4000},
        {"question_id": question_id(1), "quality": 1},
        {"question_id": question_id(0), "quality": 5, "response_time_ms": null},
        {"question_id": "NEW:1", "quality": 3},
    ]);
    let raw = one.site().await;
    for _ in 0..2 {
        persist(&raw, batch.clone(), job("j-1", at)).await.unwrap();
        // A second delivery must not meet the state that the first made.
        forget(&one).await;
    }
    let submitted = two.site().await;
    let body = json!({"responses": batch, "submission_id": "s-1"});
    let request = memora_core::services::submit::SubmitRequest::from_args(
        &crate::story::args(body),
        None,
        None,
    );
    memora_core::services::submit::submit_review_session(
        &submitted,
        &crate::story::ann(),
        &request.unwrap(),
        Door::Http,
        at,
    )
    .await
    .unwrap();
    apply_all(&two, &submitted).await;

    let rows = async |test: &TestSite| -> Vec<(String, String, String, String, i64)> {
        test.query(
            "SELECT question_id, CAST(stability AS CHAR), CAST(next_review_date AS CHAR), \
             CAST(last_review_date AS CHAR), review_version \
             FROM `tabPlayer Memory Tracker` ORDER BY question_id",
            (),
        )
        .await
    };
    assert_eq!(rows(&one).await, rows(&two).await);
    assert_eq!((count(&one, LOG).await, count(&one, AUDIT).await), (4, 1));
}

#[tokio::test]
async fn a_second_delivery_applies_the_row_of_the_first() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    let batch = answers(&[&question_id(0)]);
    {
        let _failing = failpoint::fail(&test.name, "apply_upserted");
        let failed = persist(&site, batch.clone(), job("j-1", enqueued())).await;
        assert!(failed.is_err());
    }
    let stored: Option<(String,)> = test
        .query_one("SELECT payload FROM memora_srs_journal", ())
        .await;
    // Meanwhile another answer to the same question.
    submit(&site, "s-2", &[&question_id(0)]).await;
    persist(&site, batch, job("j-1", enqueued())).await.unwrap();
    let applied: Option<(String,)> = test
        .query_one(
            "SELECT payload FROM memora_srs_journal WHERE submission_id = 'j-1' \
             AND applied_at IS NOT NULL",
            (),
        )
        .await;
    assert_eq!(applied, stored, "computed and stored once");
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        2
    );
}

#[tokio::test]
async fn two_workers_with_one_job_have_one_effect() {
    let test = site_with(5, 5).await;
    let (one, two) = (test.site().await, test.site().await);
    let at = enqueued();
    let paused = failpoint::pause(&test.name, "after_journal");
    let deliveries: Vec<_> = [one, two]
        .into_iter()
        .map(|site| {
            let batch = answers(&[&question_id(0), "NEW:1"]);
            tokio::spawn(async move { persist(&site, batch, job("j-1", at)).await })
        })
        .collect();
    paused.reached().await;
    paused.release();
    drop(paused);
    for delivery in deliveries {
        assert_eq!(delivery.await.unwrap().unwrap().processed_count, 2);
    }
    assert_eq!((count(&test, LOG).await, count(&test, AUDIT).await), (2, 1));
}

#[tokio::test]
async fn direct_calls_are_a_submit_each() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    for quality in [4, 4, 1] {
        let batch = json!([{"question_id": question_id(0), "quality": quality}]);
        // As JSON text too.
        let batch = if quality == 1 {
            json!(batch.to_string())
        } else {
            batch
        };
        persist(&site, batch, JobOptions::default()).await.unwrap();
    }
    assert_eq!((count(&test, LOG).await, count(&test, AUDIT).await), (3, 3));
    let versions: Vec<i64> = test
        .query(
            "SELECT review_version FROM memora_srs_review_log ORDER BY review_version",
            (),
        )
        .await;
    assert_eq!(row(&test, &question_id(0)).await.unwrap().1, versions[2]);
    let door: Option<(String,)> = test
        .query_one("SELECT DISTINCT door FROM memora_srs_audit", ())
        .await;
    assert_eq!(door, Some(("python".to_owned(),)));
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    let good = json!({"question_id": question_id(0), "quality": 4});
    let named = |field: &str, value: &str| {
        let mut options = JobOptions::default();
        match field {
            "submission_id" => options.submission_id = Some(value.to_owned()),
            "attempt" => options.attempt = Some(value.to_owned()),
            "fingerprint" => options.fingerprint = Some(value.to_owned()),
            _ => options.door = Some(value.to_owned()),
        }
        options
    };
    for (responses, options, message) in [
        (
            json!([good, {"question_id": question_id(1), "quality": 9}]),
            JobOptions::default(),
            "responses[1].quality must be an integer between 0 and 5",
        ),
        (
            json!([good]),
            named("submission_id", "a b"),
            "submission_id must be 1 to 64",
        ),
        (
            json!([good]),
            named("attempt", "xyz"),
            "attempt must be 32 hex digits",
        ),
        (
            json!([good]),
            named("fingerprint", "ab"),
            "fingerprint must be 64 hex digits",
        ),
        (
            json!([good]),
            named("door", "window"),
            "door must be http, python or cli",
        ),
        (
            json!([good]),
            JobOptions {
                v: Some(3),
                ..JobOptions::default()
            },
            "v is 3, this version knows formats 1 to 2",
        ),
    ] {
        let refused = persist(&site, responses, options).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{message}");
        assert!(refused.message().starts_with(message), "{refused}");
    }
    for (user, season) in [("nobody@example.com", SEASON), (ANN, "SEASON-1066")] {
        let refused = persist_review_batch(
            &site,
            json!([good]),
            user,
            season,
            JobOptions::default(),
            "test",
        )
        .await
        .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    }
    assert_eq!(
        (count(&test, JOURNAL).await, count(&test, LOG).await),
        (0, 0)
    );

    let options = || named("submission_id", "s-1");
    persist(&site, json!([good]), options()).await.unwrap();
    let other = json!([{"question_id": question_id(0), "quality": 5}]);
    let refused = persist(&site, other, options()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    // The same answers under the same id through another door are the same submit.
    persist(
        &site,
        answers(&[&question_id(2)]),
        named("submission_id", "s-2"),
    )
    .await
    .unwrap();
    submit(&site, "s-2", &[&question_id(2)]).await;
    assert_eq!(count(&test, LOG).await, 2);
}

#[tokio::test]
async fn names_are_taken_in_their_stored_spelling() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    warm(&site).await;
    let batch = answers(&["stage-000:0"]);
    persist_review_batch(
        &site,
        batch,
        "Ann@Example.com",
        "season-2026",
        JobOptions::default(),
        "test",
    )
    .await
    .unwrap();
    let stored: Vec<(String, String)> = test
        .query("SELECT player, season FROM memora_srs_journal", ())
        .await;
    assert_eq!(stored, [(ANN.to_owned(), SEASON.to_owned())]);
    assert_eq!(read(&site).await.total_due, 4);
}

#[tokio::test]
async fn a_sweep_applies_what_is_overdue_so_many_at_most() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    for n in 0..4 {
        submit(&site, &format!("s-{n}"), &[&question_id(n)]).await;
    }
    assert_eq!(
        sweep(&site, "test", 100).await.unwrap(),
        0,
        "their jobs are on the way"
    );
    test.exec(OVERDUE, ()).await;
    assert_eq!(sweep(&site, "test", 3).await.unwrap(), 3);
    assert_eq!(sweep(&site, "test", 3).await.unwrap(), 1);
    assert_eq!(sweep(&site, "test", 3).await.unwrap(), 0);
    assert_eq!(count(&test, LOG).await, 4);
}

#[tokio::test]
async fn a_sweep_goes_round_what_cannot_be_applied_and_says_so() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    submit(&site, "s-2", &["BAD:1"]).await;
    test.exec(
        "ALTER TABLE `tabPlayer Memory Tracker` ADD CONSTRAINT refuse \
         CHECK (question_id <> 'BAD:1')",
        (),
    )
    .await;
    test.exec(OVERDUE, ()).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
    let sql = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
    assert_eq!(count(&test, sql).await, 1);
    assert_eq!(
        sweep(&site, "test", 100).await.unwrap(),
        0,
        "not before its next turn"
    );
}

#[tokio::test]
async fn a_job_takes_along_what_no_job_has_brought() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let (responses, options) = queued_job(&test).await;
    submit(&site, "s-2", &[&question_id(1)]).await;
    test.exec(OVERDUE, ()).await;
    submit(&site, "s-3", &[&question_id(2)]).await;
    // A direct call has no time for others.
    persist(&site, answers(&[&question_id(3)]), JobOptions::default())
        .await
        .unwrap();
    assert_eq!(count(&test, LOG).await, 1);

    persist(&site, responses, options).await.unwrap();

    let left = waiting(&test).await;
    let left: Vec<&str> = left.iter().map(|w| w.key.submission.as_str()).collect();
    assert_eq!(left, ["s-3"], "its job is on the way");
    assert_eq!(count(&test, LOG).await, 3);
}

#[tokio::test]
async fn a_question_that_gets_another_subject_leaves_the_schedule_of_the_old_one() {
    let test = site_with(12, 12).await;
    let site = test.site().await;
    let all = read(&site).await.questions;
    let old = all[0].subject.clone().unwrap();
    let other = all.iter().filter_map(|q| q.subject.clone());
    let other = other.into_iter().find(|s| *s != old).unwrap();
    let of_old = all.iter().filter(|q| q.subject.as_ref() == Some(&old));
    let of_old: Vec<_> = of_old.collect();
    let (total, moved) = (of_old.len() as u64, &of_old[of_old.len() - 1].question_id);
    warm_with(&site, &[&old, &other]).await;
    let mut item = ready(moved, 3.0, "2031-05-05 10:00:00");
    item["subject"] = json!(other);
    let persisted = persist(&site, json!([item]), JobOptions::default()).await;
    assert_eq!(persisted.unwrap().processed_count, 1);
    assert_eq!(details(&test, moved).await.2, Some(other.clone()));
    assert!(is_complete(&site, Some(&old)).await && is_complete(&site, Some(&other)).await);
    let request = json!({"subject": old, "limit": 1});
    assert_eq!(try_read(&site, request).await.unwrap().total_due, total - 1);
}

#[tokio::test]
async fn a_time_beyond_all_years_is_no_panic() {
    let test = site_with(2, 2).await;
    let site = test.site().await;
    let answer = || json!([{"question_id": question_id(0), "quality": 4}]);
    let state = || json!([ready(&question_id(1), 3.0, "0001-01-01 00:00:00")]);
    for (i, at) in [i64::MIN, i64::MIN / 2, i64::MAX].into_iter().enumerate() {
        for (j, responses) in [answer(), state()].into_iter().enumerate() {
            let options = JobOptions {
                at: Some(at),
                ..job(&format!("j-{i}-{j}"), UtcMicros(at))
            };
            let persisted = persist(&site, responses, options).await;
            if at < 0 {
                let refused = persisted.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{at}");
                assert!(
                    refused.message().contains("older than 13 days"),
                    "{refused}"
                );
            } else {
                assert_eq!(persisted.unwrap().processed_count, 1, "{at}");
            }
        }
    }
    assert!(!read(&site).await.is_degraded);
    let (_, version) = row(&test, &question_id(0)).await.unwrap();
    assert!(version <= UtcMicros::now().0);
}
