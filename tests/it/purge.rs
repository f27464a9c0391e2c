//! What is past its retention goes, and nothing else.

use std::time::Duration;

use memora_core::services::journal::{self, Filter};
use memora_core::services::persist::{JobOptions, persist_review_batch};
use memora_core::services::purge::{Purged, purge};
use memora_core::types::UtcMicros;
use memora_core::{ErrorKind, services::players};
use memora_tests::TestSite;
use memora_tests::questions::question_id;
use serde_json::json;

use crate::story::{ANN, SEASON, ann, apply_all, count, furnish, submit};

const BUDGET: Duration = Duration::from_secs(60);
const JOURNAL: &str = "SELECT COUNT(*) FROM memora_srs_journal";

async fn stage(keys: &[(&str, u32)]) -> TestSite {
    let mut builder = TestSite::builder();
    for (key, value) in keys {
        builder = builder.config(key, json!(value));
    }
    let test = builder.build().await;
    furnish(&test, 10, 10).await;
    test
}

/// As if nobody had purged for long.
async fn unclaimed(test: &TestSite) {
    test.exec("DELETE FROM memora_srs_state WHERE name = 'purge'", ())
        .await;
}

async fn age(test: &TestSite, submission: &str, days: u32) {
    let sql = "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL ? DAY, \
               applied_at = applied_at - INTERVAL ? DAY WHERE submission_id = ?";
    test.exec(sql, (days, days, submission)).await;
}

#[tokio::test]
async fn applied_rows_go_when_their_time_is_over_and_no_other() {
    let test = stage(&[("srs_journal_days", 14)]).await;
    let site = test.site().await;
    for id in ["old", "young", "uncached"] {
        submit(&site, id, &[&question_id(0)]).await;
    }
    apply_all(&test, &site).await;
    test.exec(
        "UPDATE memora_srs_journal SET cached_at = NULL WHERE submission_id = 'uncached'",
        (),
    )
    .await;
    for id in ["pending", "failed", "late", "dismissed"] {
        submit(&site, id, &[&question_id(1)]).await;
    }
    for id in ["failed", "late"] {
        let sql = "UPDATE memora_srs_journal SET state = ? WHERE submission_id = ?";
        test.exec(sql, (id, id)).await;
    }
    let dismissed = Filter {
        submission_id: Some("dismissed".to_owned()),
        ..Filter::default()
    };
    journal::dismiss(&site, &dismissed, "root", false)
        .await
        .unwrap();
    for id in ["old", "uncached", "pending", "failed", "late", "dismissed"] {
        age(&test, id, 15).await;
    }
    age(&test, "young", 13).await;

    let purged = purge(&site, "test", BUDGET).await.unwrap();

    assert_eq!(purged.journal, 2);
    let left: Vec<String> = test
        .query(
            "SELECT submission_id FROM memora_srs_journal ORDER BY 1",
            (),
        )
        .await;
    assert_eq!(left, ["failed", "late", "pending", "uncached", "young"]);
    // As long as a schedule may live in the cache.
    age(&test, "uncached", 30).await;
    unclaimed(&test).await;
    assert_eq!(purge(&site, "test", BUDGET).await.unwrap().journal, 1);
}

#[tokio::test]
async fn what_is_left_of_a_renamed_student_stays_until_its_time_is_over() {
    let test = stage(&[]).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    test.exec(
        "UPDATE tabUser SET name = 'eve@example.com' WHERE name = ?",
        (ANN,),
    )
    .await;
    let eve = memora_core::types::Player::stored("eve@example.com");
    players::rename(&site, &ann(), &eve).await.unwrap();
    assert_eq!(count(&test, JOURNAL).await, 2);
    age(&test, "s-1", 13).await;
    assert_eq!(purge(&site, "test", BUDGET).await.unwrap().journal, 0);
    age(&test, "s-1", 2).await;
    unclaimed(&test).await;
    assert_eq!(purge(&site, "test", BUDGET).await.unwrap().journal, 2);
}

#[tokio::test]
async fn audit_and_review_log_have_a_retention_of_their_own() {
    for (keys, log_left) in [
        (&[("srs_audit_days", 30)][..], 2),
        (&[("srs_audit_days", 30), ("srs_review_log_days", 60)], 1),
    ] {
        let test = stage(keys).await;
        let site = test.site().await;
        for id in ["old", "young"] {
            submit(&site, id, &[&question_id(0)]).await;
        }
        apply_all(&test, &site).await;
        for table in ["audit", "review_log"] {
            let sql = format!(
                "UPDATE memora_srs_{table} SET created_at = created_at - INTERVAL 61 DAY \
                 WHERE submission_id = 'old'"
            );
            test.exec(&sql, ()).await;
        }
        let purged = purge(&site, "test", BUDGET).await.unwrap();
        assert_eq!((purged.journal, purged.audit), (0, 1));
        let log = "SELECT COUNT(*) FROM memora_srs_review_log";
        assert_eq!(count(&test, log).await, log_left);
    }
}

#[tokio::test]
async fn of_many_processes_one_purges_in_bounded_pieces() {
    let test = stage(&[]).await;
    test.exec(
        "INSERT INTO memora_srs_journal \
         (player, submission_id, attempt, fingerprint, season, payload, state, applied_at, cached_at) \
         SELECT 'old', CONCAT('s-', seq), '', '', 'S', '{}', 'applied', \
                UTC_TIMESTAMP() - INTERVAL 20 DAY, UTC_TIMESTAMP() FROM seq_1_to_3500",
        (),
    )
    .await;
    let mut purgers = Vec::new();
    for n in 0..3 {
        let site = test.site().await;
        purgers.push(tokio::spawn(async move {
            purge(&site, &format!("purger-{n}"), BUDGET).await.unwrap()
        }));
    }
    let mut counts = Vec::new();
    for purger in purgers {
        counts.push(purger.await.unwrap().journal);
    }
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 3500]);
    // Not again so soon; and without time nothing is begun.
    let site = test.site().await;
    assert_eq!(
        purge(&site, "test", BUDGET).await.unwrap(),
        Purged::default()
    );
    unclaimed(&test).await;
    assert_eq!(
        purge(&site, "test", Duration::ZERO).await.unwrap(),
        Purged::default()
    );
}

#[tokio::test]
async fn a_job_that_the_journal_may_have_forgotten_is_not_applied_by_itself() {
    let test = stage(&[("srs_journal_days", 3)]).await;
    let site = test.site().await;
    let batch = || json!([{"question_id": question_id(0), "quality": 4}]);
    let job = |id: &str, hours: i64| JobOptions {
        job_id: Some(id.to_owned()),
        enqueued_at: Some(UtcMicros::now().plus_seconds(-hours * 3600)),
        ..JobOptions::default()
    };
    let run =
        async |options| persist_review_batch(&site, batch(), ANN, SEASON, options, "test").await;
    run(job("young", 47)).await.unwrap();
    let refused = run(job("old", 49)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.message().contains("older than 2 days"), "{refused}");
    assert_eq!(count(&test, JOURNAL).await, 1);
    // One that the journal still knows is what it always was.
    run(job("young", 60)).await.unwrap();
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        1
    );
}
