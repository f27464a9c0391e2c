//! What happens while it is compared: writes on their way, and corrections that come late.

use memora_core::failpoint;
use memora_core::schedule_cache::Known;
use memora_core::services::reconcile::Report;
use memora_tests::programs::Start;
use memora_tests::questions::question_id;
use memora_tests::{TestSite, Worker, wait};

use super::{Corruption, cached, corrupt, force, full, run, sample, state, with_versions};
use crate::story::{ANN, ann, apply_all, count, is_complete, season, site_with, submit, warm};

pub(super) async fn stage() -> (TestSite, std::sync::Arc<memora_core::services::Site>) {
    let test = site_with(30, 10).await;
    with_versions(&test).await;
    let site = test.site().await;
    warm(&site).await;
    (test, site)
}

fn nothing(report: &Report) {
    assert_eq!(report.discrepancies_found, 0, "{report:?}");
    assert_eq!(report.auto_corrected, 0, "{report:?}");
}

#[tokio::test]
async fn a_submit_between_journal_and_cache_is_in_flight() {
    let (test, site) = stage().await;
    let process = test.site().await;
    let paused = failpoint::pause(&test.name, "before_cache");
    let submitting = tokio::spawn(async move {
        submit(&process, "s-1", &[&question_id(0), "new:1"]).await;
    });
    paused.reached().await;
    for options in [full(), sample(100)] {
        let report = run(&site, &options).await;
        nothing(&report);
        // The new question neither cache nor table knows: nobody asks for it.
        assert_eq!((report.compared, report.in_flight), (30, 1), "{report:?}");
    }
    drop(paused);
    submitting.await.unwrap();
    let report = run(&site, &full()).await;
    nothing(&report);
    assert_eq!(report.in_flight, 0);
}

#[tokio::test]
async fn an_entry_that_the_journal_does_not_have_yet_is_as_good_as_a_row() {
    let (test, _) = stage().await;
    test.exec(
        "CREATE TRIGGER closed BEFORE INSERT ON memora_srs_journal FOR EACH ROW \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'",
        (),
    )
    .await;
    let process = test.site().await;
    submit(&process, "s-1", &[&question_id(0), "new:1"]).await;
    let rows = count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await;
    assert_eq!(rows, 0, "only the queue's Redis knows");
    let site = test.site().await;
    let report = run(&site, &full()).await;
    nothing(&report);
    assert_eq!((report.compared, report.in_flight), (31, 0), "{report:?}");
    // Without the entry the cache knows of something that nobody else does.
    let mut redis = test.queue.connection().await;
    let _: () = redis::cmd("FLUSHDB").query_async(&mut redis).await.unwrap();
    let report = run(&site, &full()).await;
    assert_eq!((report.kinds.too_new, report.ghosts), (1, 1), "{report:?}");
}

#[tokio::test]
async fn what_the_queue_cannot_say_is_not_judged() {
    let test = TestSite::builder().own_queue().build().await;
    crate::story::furnish(&test, 30, 10).await;
    with_versions(&test).await;
    let site = test.site().await;
    warm(&site).await;
    corrupt(&test, &site, ANN, &question_id(1), Corruption::TooNew).await;
    corrupt(&test, &site, ANN, &question_id(2), Corruption::Ghost).await;
    corrupt(&test, &site, ANN, &question_id(3), Corruption::Missing).await;
    test.queue.server.kill();
    let report = run(&site, &full()).await;
    assert_eq!(
        (report.missing, report.discrepancies_found, report.in_flight),
        (1, 1, 2),
        "{report:?}"
    );
    assert_eq!(report.auto_corrected, 1);
}

#[tokio::test]
async fn what_is_right_the_second_time_does_not_count() {
    let (test, site) = stage().await;
    let clean = state(&site, ANN, &question_id(1)).await;
    corrupt(&test, &site, ANN, &question_id(1), Corruption::TooNew).await;
    corrupt(&test, &site, ANN, &question_id(2), Corruption::Missing).await;
    let paused = failpoint::pause(&test.name, "reconcile_again");
    let comparing = {
        let site = site.clone();
        tokio::spawn(async move { run(&site, &full()).await })
    };
    paused.reached().await;
    force(&site, ANN, &clean).await;
    site.cache.invalidate(&ann(), &season()).await.unwrap();
    warm(&site).await;
    drop(paused);
    nothing(&comparing.await.unwrap());
}

#[tokio::test]
async fn a_row_that_a_worker_applies_meanwhile_is_no_discrepancy() {
    let (test, site) = stage().await;
    for (n, point) in ["reconcile_read", "reconcile_again", "reconcile_looked"]
        .into_iter()
        .enumerate()
    {
        // Something to be looked at again.
        corrupt(&test, &site, ANN, &question_id(9), Corruption::Missing).await;
        let paused = failpoint::pause(&test.name, point);
        let comparing = {
            let site = site.clone();
            tokio::spawn(async move { run(&site, &full()).await })
        };
        paused.reached().await;
        submit(
            &site,
            &format!("s-{n}"),
            &[&question_id(n), &format!("new:{n}")],
        )
        .await;
        apply_all(&test, &site).await;
        drop(paused);
        let report = comparing.await.unwrap();
        assert_eq!(
            (report.missing, report.discrepancies_found),
            (1, 1),
            "{point}: {report:?}"
        );
        nothing(&run(&site, &full()).await);
    }
}

#[tokio::test]
async fn a_correction_loses_to_whatever_was_accepted_since() {
    let (test, site) = stage().await;
    for (n, how) in [
        Corruption::TooOld,
        Corruption::TooNew,
        Corruption::Missing,
        Corruption::Ghost,
        Corruption::Details,
    ]
    .into_iter()
    .enumerate()
    {
        let id = question_id(n);
        corrupt(&test, &site, ANN, &id, how).await;
        let asked = match how {
            Corruption::Ghost => format!("ghost-{id}"),
            _ => id,
        };
        let paused = failpoint::pause(&test.name, "before_mend");
        let comparing = {
            let site = site.clone();
            tokio::spawn(async move { run(&site, &full()).await })
        };
        paused.reached().await;
        submit(&site, &format!("s-{n}"), &[&asked]).await;
        let accepted = state(&site, ANN, &asked).await;
        drop(paused);
        let report = comparing.await.unwrap();
        assert_eq!(
            (report.discrepancies_found, report.auto_corrected),
            (1, 0),
            "{how:?}: {report:?}"
        );
        assert_eq!(state(&site, ANN, &asked).await, accepted, "{how:?}");
        apply_all(&test, &site).await;
        nothing(&run(&site, &full()).await);
        assert_eq!(state(&site, ANN, &asked).await, accepted, "{how:?}");
    }
}

#[tokio::test]
async fn a_correction_loses_to_a_new_fill_and_makes_one_read_again() {
    let (test, site) = stage().await;
    corrupt(&test, &site, ANN, &question_id(1), Corruption::Missing).await;
    let paused = failpoint::pause(&test.name, "before_mend");
    let comparing = {
        let site = site.clone();
        tokio::spawn(async move { run(&site, &full()).await })
    };
    paused.reached().await;
    site.cache.invalidate(&ann(), &season()).await.unwrap();
    warm(&site).await;
    drop(paused);
    let report = comparing.await.unwrap();
    assert_eq!(
        (report.missing, report.auto_corrected),
        (1, 0),
        "{report:?}"
    );

    // A fill that has read its rows before a correction does not publish them.
    corrupt(&test, &site, ANN, &question_id(1), Corruption::Missing).await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = {
        let site = test.site().await;
        tokio::spawn(async move { warm(&site).await })
    };
    paused.reached().await;
    assert_eq!(run(&site, &full()).await.auto_corrected, 1);
    paused.release();
    // It came back to the same point: it has read again.
    paused.reached().await;
    drop(paused);
    filling.await.unwrap();
    nothing(&run(&site, &full()).await);
}

#[tokio::test]
async fn a_row_that_is_deleted_before_its_question_is_restored_does_not_come_back() {
    let (test, site) = stage().await;
    corrupt(&test, &site, ANN, &question_id(1), Corruption::Missing).await;
    let paused = failpoint::pause(&test.name, "before_mend");
    let comparing = {
        let site = site.clone();
        tokio::spawn(async move { run(&site, &full()).await })
    };
    paused.reached().await;
    test.exec(
        "DELETE FROM `tabPlayer Memory Tracker` WHERE question_id = ?",
        (question_id(1),),
    )
    .await;
    site.cache
        .remove(&ann(), &season(), &question_id(1))
        .await
        .unwrap();
    drop(paused);
    comparing.await.unwrap();
    assert!(!is_complete(&site, None).await, "forgotten");
    warm(&site).await;
    let known = cached(&site, ANN, &question_id(1)).await;
    assert!(matches!(known, Known::Absent));
}

/// Between the first look and the second the season's rows are on their way into the archive.
#[tokio::test]
async fn a_season_that_is_archived_meanwhile_is_not_judged() {
    let (test, site) = stage().await;
    corrupt(&test, &site, ANN, &question_id(1), Corruption::Ghost).await;
    let paused = failpoint::pause(&test.name, "reconcile_again");
    let comparing = {
        let site = site.clone();
        tokio::spawn(async move { run(&site, &full()).await })
    };
    paused.reached().await;
    let note = "INSERT INTO memora_srs_state (name, value) \
                VALUES (CONCAT('archive:', ?), '{\"state\": \"archiving\"}')";
    test.exec(note, (crate::story::SEASON,)).await;
    drop(paused);
    nothing(&comparing.await.unwrap());
}

#[tokio::test]
async fn a_dirty_student_and_an_applied_row_that_was_not_shown_are_left_to_those_who_heal() {
    let (test, site) = stage().await;
    // Applied by a worker that could not reach the cache: `cached_at` stays NULL.
    submit(&site, "s-1", &[&question_id(0)]).await;
    let before = state(&site, ANN, &question_id(0)).await;
    apply_all(&test, &site).await;
    test.exec("UPDATE memora_srs_journal SET cached_at = NULL", ())
        .await;
    let mut old = before.clone();
    old.version = memora_core::types::Version(before.version.0 - 5);
    old.due = before.due.plus_seconds(-86_400);
    force(&site, ANN, &old).await;
    let report = run(&site, &full()).await;
    nothing(&report);
    assert_eq!(report.in_flight, 1, "{report:?}");
    test.exec("UPDATE memora_srs_journal SET cached_at = NOW(6)", ())
        .await;
    assert_eq!(run(&site, &full()).await.kinds.too_old, 1);
    assert_eq!(state(&site, ANN, &question_id(0)).await, before);
}

#[tokio::test]
async fn a_worker_that_is_quicker_than_the_submits_own_row_is_in_flight() {
    let (test, site) = stage().await;
    let before = state(&site, ANN, &question_id(0)).await;
    submit(&site, "s-1", &[&question_id(0), "new:1"]).await;
    // As if its INSERT had not come yet: the job alone knows.
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    site.cache.invalidate(&ann(), &season()).await.unwrap();
    warm(&site).await;
    assert_eq!(state(&site, ANN, &question_id(0)).await, before);
    let start = Start::default().failpoint("apply_upserted", "sleep6000");
    let _worker = Worker::start_with(&test, &start).unwrap();
    wait::until("the worker shows it", || async {
        (state(&site, ANN, &question_id(0)).await != before).then_some(())
    })
    .await;
    let report = run(&site, &full()).await;
    nothing(&report);
    assert_eq!(report.in_flight, 2, "{report:?}");
    wait::until("it is applied", || async {
        let applied = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NOT NULL";
        (count(&test, applied).await == 1).then_some(())
    })
    .await;
    let report = run(&site, &full()).await;
    nothing(&report);
    assert_eq!((report.compared, report.in_flight), (31, 0));
}
