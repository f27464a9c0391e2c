//! Sweeping the journal: each row once, nobody waits, and what cannot be applied comes to
//! an end that an operator sees.

use std::sync::Arc;

use memora_core::batch::SubmissionKey;
use memora_core::failpoint;
use memora_core::services::Site;
use memora_core::services::apply::apply;
use memora_core::services::persist::{JobOptions, persist_review_batch};
use memora_core::services::sweep::{patrol, sweep};
use memora_core::store::apply::Work;
use memora_core::types::{SubmissionId, UtcMicros};
use memora_tests::programs::Start;
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts};
use serde_json::{Value, json};

use crate::story::{ANN, SEASON, ann, count, furnish, read, site_with, submit};

mod claims;

const AUDIT: &str = "SELECT COUNT(*) FROM memora_srs_audit";
const ERROR_LOG: &str =
    "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
/// Their jobs are half a minute late.
const LATE: &str = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 40 SECOND";
/// The next turn of every row that waits for one.
const NEXT_TURN: &str = "UPDATE memora_srs_journal SET next_try_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND \
                         WHERE next_try_at < '9999-01-01'";

/// A site with so many submits in its journal whose jobs are late.
async fn late(submits: usize) -> (TestSite, Arc<Site>) {
    let test = site_with(submits.max(5), 5).await;
    let site = test.site().await;
    for n in 0..submits {
        submit(&site, &format!("s-{n}"), &[&question_id(n)]).await;
    }
    test.exec(LATE, ()).await;
    (test, site)
}

async fn refuse(test: &TestSite, question: &str) {
    let sql = format!(
        "ALTER TABLE `tabPlayer Memory Tracker` ADD CONSTRAINT refuse \
         CHECK (question_id <> '{question}')"
    );
    test.exec(&sql, ()).await;
}

/// State, tries, and whether its next try is never.
async fn state(test: &TestSite, submission: &str) -> (String, u32, bool) {
    test.query_one(
        "SELECT state, tries, COALESCE(next_try_at > '9999-01-01', 0) FROM memora_srs_journal \
         WHERE submission_id = ?",
        (submission,),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn of_many_sweepers_each_row_is_applied_by_one() {
    let (test, site) = late(150).await;
    let mut sweepers = Vec::new();
    for n in 0..4 {
        // A process of its own each.
        let site = test.site().await;
        sweepers.push(tokio::spawn(async move {
            sweep(&site, &format!("sweeper-{n}"), 1000).await.unwrap()
        }));
    }
    let mut claimed = 0;
    for sweeper in sweepers {
        claimed += sweeper.await.unwrap();
    }
    assert!(claimed <= 150, "{claimed}: a row was claimed by two");
    // A row that another's search for work held just then is left for its next turn.
    wait::until("every row is applied", || async {
        test.exec(NEXT_TURN, ()).await;
        sweep(&site, "the last one", 1000).await.unwrap();
        (count(&test, AUDIT).await >= 150).then_some(())
    })
    .await;
    assert_eq!(count(&test, AUDIT).await, 150);
    let claims = "SELECT COUNT(*) FROM memora_srs_journal \
                  WHERE claimed_by IS NOT NULL OR next_try_at IS NOT NULL";
    assert_eq!(count(&test, claims).await, 0);
}

/// What `memora-srs sweep` says of itself.
#[tokio::test]
async fn the_command_says_what_it_did_and_what_is_left() {
    let (test, site) = late(3).await;
    let run = async |more: &[&str]| {
        let start = Start::default().args(&["--json"]).args(more);
        let mut command = start.command("sweep", &test).unwrap();
        command.args(["--site", &test.name]);
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let numbers = ["applied", "pending", "failed"].map(|name| report[name].as_u64().unwrap());
        (output.status.code().unwrap(), numbers)
    };
    assert_eq!(run(&["--dry-run"]).await, (0, [3, 3, 0]));
    assert_eq!(run(&["--max-rows", "2"]).await, (0, [2, 1, 0]));
    assert_eq!(run(&[]).await, (0, [1, 0, 0]));
    submit(&site, "bad", &["BAD:1"]).await;
    let given_up = "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31' \
                    WHERE submission_id = 'bad'";
    test.exec(given_up, ()).await;
    assert_eq!(run(&[]).await, (1, [0, 0, 1]));
}

#[tokio::test]
async fn nobody_waits_for_a_row_that_somebody_holds() {
    let (test, site) = late(3).await;
    let mut holder: Conn = site.db.conn().await.unwrap();
    let mut tx = holder.start_transaction(TxOpts::new()).await.unwrap();
    let lock =
        "SELECT 1 FROM memora_srs_journal WHERE player = ? AND submission_id = 's-1' FOR UPDATE";
    tx.exec_drop(lock, (ANN,)).await.unwrap();
    // As sweeping, and as what a job takes along.
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 2);
    let batch = json!([{"question_id": question_id(4), "quality": 4}]);
    let job = JobOptions {
        job_id: Some("job".to_owned()),
        enqueued_at: Some(UtcMicros::now()),
        ..JobOptions::default()
    };
    persist_review_batch(&site, batch, ANN, SEASON, job, "test")
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(state(&test, "s-1").await.0, "pending");
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
}

#[tokio::test]
async fn what_others_did_with_a_claimed_row_is_not_counted() {
    let (test, site) = late(3).await;
    let claimed = failpoint::pause(&test.name, "rows_claimed");
    let sweeping = tokio::spawn({
        let site = site.clone();
        async move { sweep(&site, "test", 100).await.unwrap() }
    });
    claimed.reached().await;
    // One is held, another was brought in by its job.
    let mut holder: Conn = site.db.conn().await.unwrap();
    let mut tx = holder.start_transaction(TxOpts::new()).await.unwrap();
    let lock =
        "SELECT 1 FROM memora_srs_journal WHERE player = ? AND submission_id = 's-1' FOR UPDATE";
    tx.exec_drop(lock, (ANN,)).await.unwrap();
    let work = Work {
        key: SubmissionKey {
            player: ann(),
            submission: SubmissionId::parse("id", "s-2").unwrap(),
        },
        job_id: None,
        submission: None,
    };
    apply(&site, &[work], "job").await.remove(0).unwrap();
    claimed.release();
    drop(claimed);
    assert_eq!(sweeping.await.unwrap(), 1);
    tx.rollback().await.unwrap();
    assert_eq!(state(&test, "s-1").await.0, "pending");
    assert_eq!(count(&test, AUDIT).await, 2);
}

#[tokio::test]
async fn a_claim_keeps_others_away_until_its_time_is_over() {
    let (test, site) = late(2).await;
    let claimed = memora_core::store::journal::claim(&site.db, "dead", 60, 5, 10).await;
    assert_eq!(claimed.unwrap().len(), 2);
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 0);
    let ahead = "SELECT COUNT(*) FROM memora_srs_journal WHERE claimed_by = 'dead' AND \
                 next_try_at BETWEEN UTC_TIMESTAMP() + INTERVAL 50 SECOND \
                 AND UTC_TIMESTAMP() + INTERVAL 61 SECOND";
    assert_eq!(count(&test, ahead).await, 2);
    test.exec(NEXT_TURN, ()).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 2);
}

#[tokio::test]
async fn a_patrol_queues_a_lost_job_again_and_then_applies_the_row() {
    let (test, site) = late(2).await;
    let mut redis = test.queue.connection().await;
    let queue = format!("rq:queue:{}:srs_write", test.bench_id);
    let jobs: Vec<String> = redis::cmd("LRANGE")
        .arg(&queue)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    // One is lost with its hash, the other still waits.
    let () = redis::pipe()
        .del(format!("rq:job:{}", jobs[0]))
        .lrem(&queue, 1, &jobs[0])
        .ignore()
        .query_async::<(i64,)>(&mut redis)
        .await
        .map(|_| ())
        .unwrap();

    assert_eq!(patrol(&site, "test").await.unwrap(), 0);

    let queued: Vec<String> = redis::cmd("LRANGE")
        .arg(&queue)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(queued, [jobs[1].clone(), jobs[0].clone()]);
    for submission in ["s-0", "s-1"] {
        assert_eq!(
            state(&test, submission).await,
            ("queued".to_owned(), 0, false)
        );
    }
    // The attempt is the row's, past the token of the first.
    let attempt: String = test
        .query_one(
            "SELECT LOWER(HEX(attempt)) FROM memora_srs_journal WHERE submission_id = 's-0'",
            (),
        )
        .await
        .unwrap();
    let hash: std::collections::HashMap<String, Vec<u8>> = redis::cmd("HGETALL")
        .arg(format!("rq:job:{}", jobs[0]))
        .query_async(&mut redis)
        .await
        .unwrap();
    let call = memora_core::queue::PersistCall::from_hash(&jobs[0], &hash).unwrap();
    assert_eq!(call.attempt.unwrap().to_hex(), attempt);

    assert_eq!(
        patrol(&site, "test").await.unwrap(),
        0,
        "the jobs have their time"
    );
    test.exec(NEXT_TURN, ()).await;
    assert_eq!(patrol(&site, "test").await.unwrap(), 2, "nobody took them");
}

#[tokio::test]
async fn without_the_queue_a_patrol_applies_at_once() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 5, 5).await;
    let site = test.site().await;
    submit(&site, "s-0", &[&question_id(0)]).await;
    test.exec(LATE, ()).await;
    test.queue.server.kill();
    assert_eq!(patrol(&site, "test").await.unwrap(), 1);
}

#[tokio::test]
async fn what_cannot_be_applied_comes_later_and_later_and_is_given_up_at_last() {
    let test = TestSite::builder()
        .config("srs_journal_tries", json!(3))
        .build()
        .await;
    furnish(&test, 5, 5).await;
    let site = test.site().await;
    submit(&site, "bad", &["BAD:1"]).await;
    refuse(&test, "BAD:1").await;
    test.exec(LATE, ()).await;
    for (tries, minutes) in [(1, 1), (2, 2)] {
        assert_eq!(sweep(&site, "test", 100).await.unwrap(), 0);
        assert_eq!(
            state(&test, "bad").await,
            ("failed".to_owned(), tries, false)
        );
        let left: i64 = test
            .query_one(
                "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), next_try_at) FROM memora_srs_journal",
                (),
            )
            .await
            .unwrap();
        assert!((minutes * 60 - 20..=minutes * 60).contains(&left), "{left}");
        test.exec(NEXT_TURN, ()).await;
    }
    sweep(&site, "test", 100).await.unwrap();
    assert_eq!(state(&test, "bad").await, ("failed".to_owned(), 3, true));
    assert_eq!(count(&test, ERROR_LOG).await, 3);
    // Nobody tries it by itself any more; others go on, and the answer stands.
    submit(&site, "good", &[&question_id(0)]).await;
    test.exec(LATE, ()).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
    assert_eq!(state(&test, "bad").await.1, 3);
    assert_eq!(read(&site).await.total_due, 4);
}

#[tokio::test]
async fn what_may_pass_is_never_given_up() {
    let test = TestSite::builder()
        .own_mariadb()
        .config("srs_journal_tries", json!(1))
        .build()
        .await;
    furnish(&test, 5, 5).await;
    let site = test.site().await;
    submit(&site, "s-0", &[&question_id(0)]).await;
    // Somebody holds the student's row for long.
    let mut holder: Conn = site.db.conn().await.unwrap();
    let mut tx = holder.start_transaction(TxOpts::new()).await.unwrap();
    tx.query_drop("SELECT 1 FROM `tabPlayer Memory Tracker` FOR UPDATE")
        .await
        .unwrap();
    let mut root = test.mariadb.root().await.unwrap();
    root.query_drop("SET GLOBAL innodb_lock_wait_timeout = 1")
        .await
        .unwrap();
    let hasty = test.site().await;
    test.exec(LATE, ()).await;
    assert_eq!(sweep(&hasty, "test", 100).await.unwrap(), 0);
    assert_eq!(state(&test, "s-0").await, ("failed".to_owned(), 1, false));
    tx.rollback().await.unwrap();
    test.exec(NEXT_TURN, ()).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
}

#[tokio::test]
async fn rows_that_cannot_be_read_hold_up_no_other() {
    let (test, site) = late(2).await;
    test.exec(
        "UPDATE memora_srs_journal SET payload = 'no json' WHERE submission_id = 's-0'",
        (),
    )
    .await;
    let odd = "INSERT INTO memora_srs_journal \
               (player, submission_id, attempt, fingerprint, season, payload, created_at) \
               VALUES (?, ?, '', '', 'S', '{}', UTC_TIMESTAMP() - INTERVAL 1 HOUR)";
    test.exec(odd, (&b"\xff\xfe"[..], "s-2")).await;
    test.exec(odd, (ANN, "no id!")).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 1);
    assert_eq!(state(&test, "s-0").await.0, "failed");
    assert_eq!(state(&test, "s-1").await.0, "applied");
    for submission in ["s-2", "no id!"] {
        assert_eq!(
            state(&test, submission).await,
            ("failed".to_owned(), 1, true)
        );
    }
}

#[tokio::test]
async fn one_bad_row_among_many_costs_few_transactions() {
    let (test, site) = late(63).await;
    submit(&site, "bad", &["BAD:1"]).await;
    test.exec(LATE, ()).await;
    refuse(&test, "BAD:1").await;
    let before = commits(&test).await;
    assert_eq!(sweep(&site, "test", 100).await.unwrap(), 63);
    let transactions = commits(&test).await - before;
    assert!(transactions < 64, "{transactions} transactions");
    assert_eq!(state(&test, "bad").await.0, "failed");
}

/// Batches applied so far, by the moments at which rows were marked.
async fn commits(test: &TestSite) -> u64 {
    count(
        test,
        "SELECT COUNT(DISTINCT applied_at) FROM memora_srs_journal",
    )
    .await
}

#[tokio::test]
async fn a_job_that_fails_with_the_database_away_is_told_of_afterwards() {
    let test = TestSite::builder().own_mariadb().build().await;
    furnish(&test, 5, 5).await;
    let site = test.site().await;
    site.zone(UtcMicros::now()).await.unwrap();
    test.mariadb.kill();
    let batch = json!([{"question_id": question_id(0), "quality": 4}]);
    let job = JobOptions {
        job_id: Some("job-of-old".to_owned()),
        enqueued_at: Some(UtcMicros::now()),
        ..JobOptions::default()
    };
    let failed = persist_review_batch(&site, batch, ANN, SEASON, job, "test").await;
    assert_eq!(
        failed.unwrap_err().kind(),
        memora_core::ErrorKind::Unavailable
    );
    test.mariadb.start_again().await;
    let site = test.site().await;
    wait::until("the operator is told", || async {
        sweep(&site, "test", 10).await.ok()?;
        let sql = "SELECT COUNT(*) FROM `tabError Log` \
                   WHERE method = 'SRSPersistenceService' AND error LIKE 'job-of-old%'";
        (count(&test, sql).await == 1).then_some(())
    })
    .await;
    sweep(&site, "test", 10).await.unwrap();
    assert_eq!(count(&test, ERROR_LOG).await, 1, "once");
}
