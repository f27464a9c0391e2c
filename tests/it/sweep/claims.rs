//! Which rows are a sweeper's, and which of them are left to their job.

use memora_core::batch::SubmissionKey;
use memora_core::store::journal::{self, Failure};

use super::*;

fn key(submission: &str) -> SubmissionKey {
    SubmissionKey {
        player: ann(),
        submission: SubmissionId::parse("id", submission).unwrap(),
    }
}

/// Submits that nobody applied, each with what became of its row.
async fn stage(rows: &[(&str, &str)]) -> (TestSite, Arc<Site>) {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    for (n, (submission, became)) in rows.iter().enumerate() {
        submit(&site, submission, &[&question_id(n % 5)]).await;
        let sql = format!(
            "UPDATE memora_srs_journal SET created_at = UTC_TIMESTAMP(6) - INTERVAL 40 SECOND, \
             {became} WHERE submission_id = '{submission}'"
        );
        test.exec(&sql, ()).await;
    }
    (test, site)
}

#[tokio::test]
async fn what_is_claimed_is_late_and_unapplied_and_its_turn_has_come() {
    let (_test, site) = stage(&[
        (
            "young",
            "created_at = UTC_TIMESTAMP(6) - INTERVAL 30 SECOND",
        ),
        // However long this test takes.
        (
            "too-fresh",
            "created_at = UTC_TIMESTAMP(6) + INTERVAL 60 SECOND",
        ),
        ("old", "created_at = UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE"),
        // Of a student who was renamed: a row that moves keeps its tries, and waits for none.
        ("moved", "state = 'failed', tries = 1"),
        (
            "dead-claim",
            "claimed_by = 'dead', next_try_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND",
        ),
        (
            "queued",
            "state = 'queued', next_try_at = UTC_TIMESTAMP(6) - INTERVAL 2 SECOND",
        ),
        (
            "failed",
            "state = 'failed', tries = 1, \
             next_try_at = UTC_TIMESTAMP(6) - INTERVAL 3 SECOND",
        ),
        (
            "waiting",
            "state = 'failed', tries = 1, next_try_at = UTC_TIMESTAMP(6) + INTERVAL 60 SECOND",
        ),
        (
            "given-up",
            "state = 'failed', tries = 12, next_try_at = '9999-12-31'",
        ),
        ("archived", "state = 'late'"),
        // By hand, as an operator may do it in the table.
        ("dismissed", "state = 'dismissed'"),
        (
            "applied",
            "state = 'applied', applied_at = UTC_TIMESTAMP(6)",
        ),
    ])
    .await;
    // Those without a turn by their age, then the others by their turn.
    let expected = [
        ("old", false),
        ("moved", false),
        ("young", true),
        ("failed", false),
        ("queued", false),
        ("dead-claim", false),
    ];
    let due = journal::overdue(&site.db, 5, 100).await.unwrap();
    let due: Vec<&str> = due.iter().map(|key| key.submission.as_str()).collect();
    assert_eq!(due, expected.map(|(submission, _)| submission));
    let backlog = journal::backlog(&site.db).await.unwrap();
    assert_eq!((backlog.pending, backlog.failed), (8, 1));
    let claimed = journal::claim(&site.db, "test", 60, 5, 100).await.unwrap();
    let claimed: Vec<(&str, bool)> = claimed
        .iter()
        .map(|row| (row.key.submission.as_str(), row.young))
        .collect();
    assert_eq!(claimed, expected);
}

/// What was given up long ago is an operator's, and holds up no alarm about what is on its
/// way; what was dismissed is nobody's.
#[tokio::test]
async fn the_oldest_row_is_one_on_its_way() {
    let (test, site) = stage(&[
        (
            "given-up",
            "created_at = '2026-01-01', state = 'failed', next_try_at = '9999-12-31'",
        ),
        // By hand, when it was given up already.
        (
            "dismissed",
            "created_at = '2026-01-01', state = 'dismissed', next_try_at = '9999-12-31'",
        ),
        (
            "applied",
            "created_at = '2026-01-01', state = 'applied', applied_at = UTC_TIMESTAMP(6)",
        ),
    ])
    .await;
    let backlog = journal::backlog(&site.db).await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.failed, backlog.oldest_s),
        (0, 1, None)
    );
    submit(&site, "on-its-way", &[&question_id(4)]).await;
    test.exec(
        "UPDATE memora_srs_journal SET state = 'failed', tries = 1, \
         created_at = UTC_TIMESTAMP(6) - INTERVAL 10 MINUTE, \
         next_try_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE \
         WHERE submission_id = 'on-its-way'",
        (),
    )
    .await;
    let backlog = journal::backlog(&site.db).await.unwrap();
    assert_eq!((backlog.pending, backlog.failed), (1, 1));
    let oldest = backlog.oldest_s.unwrap();
    assert!((600.0..660.0).contains(&oldest), "{oldest}");
}

/// Between a sweeper's look and its note that there is a job, the job came and failed.
#[tokio::test]
async fn a_row_whose_job_failed_meanwhile_is_not_noted_as_queued() {
    let (test, site) = stage(&[("s-1", "tries = 0")]).await;
    let claimed = journal::claim(&site.db, "test", 600, 5, 10).await.unwrap();
    assert!(claimed[0].young);
    let failure = Failure {
        error: "no room",
        passes: true,
    };
    let failed = journal::failed(&site.db, &key("s-1"), failure, 12).await;
    failed.unwrap();
    let noted = journal::has_job(&site.db, &[&key("s-1")], 30).await;
    noted.unwrap();
    assert_eq!(state(&test, "s-1").await, ("failed".to_owned(), 1, false));
}

/// What may pass is tried for ever, and so often that its pause must have an end.
#[tokio::test]
async fn no_pause_is_longer_than_an_hour_or_so() {
    let (test, site) = stage(&[("s-1", "state = 'failed', tries = 60")]).await;
    let failure = Failure {
        error: "too slow",
        passes: true,
    };
    let failed = journal::failed(&site.db, &key("s-1"), failure, 12).await;
    failed.unwrap();
    let minutes: Option<i64> = test
        .query_one(
            "SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(6), next_try_at) FROM memora_srs_journal",
            (),
        )
        .await;
    assert_eq!(minutes, Some(63));
}

/// Whoever holds the row knows better what becomes of it.
#[tokio::test]
async fn a_failure_is_not_noted_in_a_row_that_is_held_for_long() {
    let (test, site) = stage(&[("s-1", "tries = 0")]).await;
    let mut holder: Conn = site.db.conn().await.unwrap();
    let mut tx = holder.start_transaction(TxOpts::new()).await.unwrap();
    tx.exec_drop(
        "SELECT 1 FROM memora_srs_journal WHERE player = ? FOR UPDATE",
        (ANN,),
    )
    .await
    .unwrap();
    let failure = Failure {
        error: "no room",
        passes: true,
    };
    let key = key("s-1");
    let failed = journal::failed(&site.db, &key, failure, 12);
    // The server itself would let it wait for fifty seconds.
    let failed = tokio::time::timeout(std::time::Duration::from_secs(20), failed).await;
    failed.expect("an end").unwrap_err();
    tx.rollback().await.unwrap();
    assert_eq!(state(&test, "s-1").await, ("pending".to_owned(), 0, false));
}
