//! Applying journal rows: newest wins, once, and nothing in between.

use memora_core::batch::SubmissionKey;
use memora_core::services::apply;
use memora_core::store::apply::Work;
use memora_core::types::{SubmissionId, UtcMicros};
use memora_tests::Due;
use memora_tests::questions::question_id;

use crate::story::{
    ANN, SEASON, ann, apply_all, count, forget, read, row, site_with, submit, waiting, warm,
};

#[tokio::test]
async fn rows_log_and_audit_are_written_once_however_often_it_is_applied() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0), "NEW:1"]).await;
    let work = waiting(&test).await;
    for _ in 0..3 {
        for outcome in apply::apply(&site, &work, "test").await {
            outcome.unwrap();
        }
    }
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        2
    );
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        1
    );
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM `tabPlayer Memory Tracker`").await,
        11
    );
    let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE state = 'applied' \
               AND applied_at IS NOT NULL AND cached_at IS NOT NULL";
    assert_eq!(count(&test, sql).await, 1);
}

#[tokio::test]
async fn the_newer_state_wins_in_either_order() {
    for order in [[0, 1], [1, 0]] {
        let test = site_with(3, 3).await;
        let site = test.site().await;
        submit(&site, "a", &[&question_id(0)]).await;
        submit(&site, "b", &[&question_id(0)]).await;
        let mut work = waiting(&test).await;
        work.sort_by(|x, y| x.key.cmp(&y.key));
        for i in order {
            apply::apply(&site, std::slice::from_ref(&work[i]), "test")
                .await
                .remove(0)
                .unwrap();
        }
        let newest: i64 = test
            .query_one("SELECT MAX(review_version) FROM memora_srs_review_log", ())
            .await
            .unwrap();
        assert_eq!(
            row(&test, &question_id(0)).await.unwrap().1,
            newest,
            "{order:?}"
        );
        assert_eq!(
            count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
            2
        );
    }
}

#[tokio::test]
async fn a_tie_of_versions_goes_to_the_later_due_time_then_the_higher_stability() {
    let test = site_with(1, 1).await;
    let site = test.site().await;
    submit(&site, "a", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    let key = SubmissionKey {
        player: ann(),
        submission: SubmissionId::parse("id", "a").unwrap(),
    };
    let zone = site.zone(UtcMicros::now()).await.unwrap();
    for (label, newer, due, stability, wins) in [
        ("earlier", 0, -60, 4.0, false),
        ("same", 0, 0, 0.5, false),
        ("later", 0, 60, 0.5, true),
        ("same", 0, 0, 3.9, true),
        ("older", -1, 120, 4.0, false),
        ("newer", 1, -60, 0.5, true),
    ] {
        let found = memora_core::store::journal::find(&site.db, &key)
            .await
            .unwrap()
            .unwrap();
        let mut tie = found;
        let (due_now, stability_now): (chrono::NaiveDateTime, f64) = test
            .query_one(
                "SELECT next_review_date, CAST(stability AS DOUBLE) FROM `tabPlayer Memory Tracker`",
                (),
            )
            .await
            .unwrap();
        let new_due = zone.to_utc(due_now).plus_seconds(due);
        tie.key.submission = SubmissionId::parse("id", &format!("{label}-{wins}-{due}")).unwrap();
        tie.batch.items[0].due_us = new_due.0;
        tie.batch.items[0].review_version += newer;
        tie.batch.items[0].new_stability = stability;
        let work = Work {
            key: tie.key.clone(),
            job_id: None,
            submission: Some(tie),
        };
        apply::apply(&site, &[work], "test")
            .await
            .remove(0)
            .unwrap();
        let (due_after, stability_after): (chrono::NaiveDateTime, f64) = test
            .query_one(
                "SELECT next_review_date, CAST(stability AS DOUBLE) FROM `tabPlayer Memory Tracker`",
                (),
            )
            .await
            .unwrap();
        let changed = (due_after, stability_after) != (due_now, stability_now);
        assert_eq!(changed, wins, "{label}");
        if wins {
            assert_eq!(
                (zone.to_utc(due_after), stability_after),
                (new_due, stability)
            );
        }
    }

    // A row of old that has no due time defends nothing.
    test.exec(
        "UPDATE `tabPlayer Memory Tracker` SET next_review_date = NULL",
        (),
    )
    .await;
    let version = "SELECT review_version FROM `tabPlayer Memory Tracker`";
    let mut tie = memora_core::store::journal::find(&site.db, &key)
        .await
        .unwrap()
        .unwrap();
    tie.key.submission = SubmissionId::parse("id", "to-none").unwrap();
    tie.batch.items[0].review_version = test.query_one(version, ()).await.unwrap();
    let work = Work {
        key: tie.key.clone(),
        job_id: None,
        submission: Some(tie),
    };
    let done = apply::apply(&site, &[work], "test").await.remove(0);
    done.unwrap();
    let with = "SELECT COUNT(*) FROM `tabPlayer Memory Tracker` WHERE next_review_date IS NOT NULL";
    assert_eq!(count(&test, with).await, 1);
}

#[tokio::test]
async fn a_missing_partition_is_made_in_the_middle_of_a_batch() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    submit(&site, "a", &[&question_id(0)]).await;
    let partition: Vec<(String,)> = test
        .query(
            "SELECT partition_name FROM information_schema.partitions \
             WHERE table_schema = DATABASE() AND table_name = 'tabPlayer Memory Tracker' \
             AND partition_description = '''SEASON-2026'''",
            (),
        )
        .await;
    let sql = format!(
        "ALTER TABLE `tabPlayer Memory Tracker` DROP PARTITION `{}`",
        partition[0].0
    );
    test.exec(&sql, ()).await;
    assert_eq!(apply_all(&test, &site).await, 1);
    assert!(row(&test, &question_id(0)).await.unwrap().1 > 0);
}

#[tokio::test]
async fn the_worker_shows_again_what_the_submit_could_not() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let stale = {
        let _failing = memora_core::failpoint::fail(&test.name, "before_cache");
        crate::story::try_submit(&site, "s-1", crate::story::answers(&[&question_id(0)])).await
    };
    assert!(stale.is_err(), "the process died between journal and cache");
    assert_eq!(
        read(&site).await.total_due,
        10,
        "stale until the worker comes"
    );
    apply_all(&test, &site).await;
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn a_crash_before_the_commit_changes_nothing_and_after_it_everything() {
    for (point, rows) in [("apply_upserted", 0), ("apply_committed", 1)] {
        let test = site_with(3, 3).await;
        let site = test.site().await;
        submit(&site, "a", &[&question_id(0)]).await;
        let work = waiting(&test).await;
        {
            let _failing = memora_core::failpoint::fail(&test.name, point);
            assert!(apply::apply(&site, &work, "test").await.remove(0).is_err());
        }
        let log = "SELECT COUNT(*) FROM memora_srs_review_log";
        assert_eq!(count(&test, log).await, rows, "{point}");
        test.exec("UPDATE memora_srs_journal SET next_try_at = NULL", ())
            .await;
        apply::apply(&site, &work, "test").await.remove(0).unwrap();
        assert_eq!(count(&test, log).await, 1);
        forget(&test).await;
        assert_eq!(read(&site).await.total_due, 2);
    }
}

#[tokio::test]
async fn a_colliding_row_name_never_changes_another_students_row() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    let eve = "eve@example.com";
    test.add_questions(eve, SEASON, 1, Due::All).await;
    test.exec(
        "CREATE TRIGGER collide BEFORE INSERT ON `tabPlayer Memory Tracker` \
         FOR EACH ROW SET NEW.name = 'same'",
        (),
    )
    .await;
    // Every name collides with this row: the guard is all that protects it.
    for (whose, question) in [
        (eve, question_id(0)),
        (eve, "NEW:1".to_owned()),
        (ANN, question_id(2)),
    ] {
        let free = "UPDATE `tabPlayer Memory Tracker` \
                    SET name = CONCAT(player, question_id) WHERE name = 'same'";
        test.exec(free, ()).await;
        let same = "UPDATE `tabPlayer Memory Tracker` SET name = 'same', question_id = ? \
                    WHERE player = ? AND (question_id = ? OR player = 'eve@example.com')";
        test.exec(same, (&question, whose, &question)).await;
        submit(
            &site,
            &format!("s-{whose}-{}", question.len()).replace(['@', '.'], "-"),
            &["NEW:1"],
        )
        .await;
        apply_all(&test, &site).await;
        let row: Vec<(String, String, i64)> = test
            .query(
                "SELECT player, question_id, review_version FROM `tabPlayer Memory Tracker` \
                 WHERE name = 'same'",
                (),
            )
            .await;
        assert_eq!(row, [(whose.to_owned(), question, 0)]);
    }
}
