//! Several attempts at one submission while the journal takes nothing: one of them counts,
//! all get its answer, and what each made of the state the others have shown is not done
//! on top (rule C4).

use memora_core::batch::{Attempt, Door, SubmissionKey};
use memora_core::failpoint;
use memora_core::services::{Site, apply, unjournaled};
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::SubmissionId;
use memora_core::{ErrorKind, Result};
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::questions::question_id;
use memora_tests::{TestSite, wait};
use serde_json::json;

use crate::story::{
    ann, answers, apply_all, count, forget, furnish, ids, is_complete, read, row, season,
    site_with, submit, try_submit, warm,
};

const ROWS: &str = "SELECT COUNT(*) FROM memora_srs_journal";
const LOG: &str = "SELECT COUNT(*) FROM memora_srs_review_log";

/// The journal can be read, and takes nothing.
pub(super) async fn close_journal(test: &TestSite) {
    test.exec(
        "CREATE TRIGGER closed BEFORE INSERT ON memora_srs_journal FOR EACH ROW \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'",
        (),
    )
    .await;
}

pub(super) async fn open_journal(test: &TestSite) {
    test.exec("DROP TRIGGER closed", ()).await;
}

/// Version and stability of a question as the cache shows it.
async fn cached(site: &Site, question: &str) -> (i64, f64) {
    use memora_core::schedule_cache::{Known, Lookup};
    let (player, season) = (ann(), season());
    let known = site.cache.states(&player, &season, &[question]).await;
    let Lookup::Complete(known) = known.unwrap() else {
        panic!("incomplete")
    };
    match &known.states[0] {
        Known::State(state) => (state.version.0, state.stability.to_f64()),
        other => panic!("{other:?}"),
    }
}

fn key(id: &str) -> SubmissionKey {
    SubmissionKey {
        player: ann(),
        submission: SubmissionId::parse("id", id).unwrap(),
    }
}

/// Waits until the rows of what was acknowledged are there, and no entries.
pub(super) async fn journaled(test: &TestSite, site: &Site, rows: u64) {
    wait::until("the rows are there, and no entries", || async {
        let there = site.unjournaled.are_there().await.unwrap();
        (count(test, ROWS).await == rows && !there).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_retry_of_what_has_no_row_yet_gets_its_answer_and_adds_nothing() {
    let test = site_with(10, 10).await;
    let (one, other) = (test.site().await, test.site().await);
    warm(&one).await;
    let q = question_id(0);
    close_journal(&test).await;
    let first = submit(&one, "once", &[&q]).await;
    assert!(!first.is_degraded);
    let shown = cached(&one, &q).await;
    // The same answers again, computed on top of what the first has shown.
    for site in [&other, &one] {
        assert_eq!(submit(site, "once", &[&q]).await, first);
        assert_eq!(cached(&one, &q).await, shown);
    }
    let refused = try_submit(&other, "once", answers(&[&question_id(1)])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);

    // The journal is back, and whoever makes the row has not been there yet.
    let making = failpoint::pause(&test.name, "before_late_rows");
    open_journal(&test).await;
    assert_eq!(submit(&other, "once", &[&q]).await, first);
    assert_eq!(count(&test, ROWS).await, 1);
    drop(making);
    journaled(&test, &one, 1).await;
    apply_all(&test, &one).await;
    assert_eq!(count(&test, LOG).await, 1);
    let (stability, version) = row(&test, &q).await.unwrap();
    assert_eq!((version, stability), shown);
    assert_eq!(cached(&one, &q).await, shown);
}

#[tokio::test]
async fn what_has_no_row_yet_shows_everywhere_and_is_built_upon() {
    let test = site_with(10, 10).await;
    let (one, other) = (test.site().await, test.site().await);
    warm(&one).await;
    let (q, p) = (question_id(0), question_id(1));
    close_journal(&test).await;
    assert!(!submit(&one, "s-1", &[&q, &p]).await.is_degraded);
    // From the cache, from the table, and after a fill.
    for _ in 0..2 {
        for site in [&one, &other] {
            let session = read(site).await;
            assert_eq!((session.total_due, session.is_degraded), (8, false));
            assert!(!ids(&session).contains(&q.as_str()));
        }
        forget(&test).await;
    }
    // Computed by the other from the entry: its version comes after.
    let before = {
        warm(&other).await;
        cached(&other, &q).await.0
    };
    forget(&test).await;
    assert!(!submit(&other, "s-2", &[&q]).await.is_degraded);
    warm(&one).await;
    assert!(cached(&one, &q).await.0 > before);
    open_journal(&test).await;
    journaled(&test, &one, 2).await;
    apply_all(&test, &one).await;
    let log: Vec<(i64, Option<i64>)> = test
        .query(
            "SELECT review_version, version_before FROM memora_srs_review_log \
             WHERE question = ? ORDER BY review_version",
            (&q,),
        )
        .await;
    assert_eq!(
        log[1].1,
        Some(log[0].0),
        "the second met what the first made"
    );
    assert_eq!(row(&test, &q).await.unwrap().1, log[1].0);
}

#[tokio::test]
async fn who_reads_while_the_row_is_made_sees_the_submit_in_one_place_or_the_other() {
    let test = site_with(10, 10).await;
    let (one, other) = (test.site().await, test.site().await);
    warm(&one).await;
    close_journal(&test).await;
    submit(&one, "s-1", &[&question_id(0)]).await;
    forget(&test).await;
    // Entries read; then row made, entry gone, row applied; then the snapshot.
    let reading = failpoint::pause(&test.name, "load_read");
    let session = tokio::spawn(async move { read(&other).await });
    reading.reached().await;
    open_journal(&test).await;
    journaled(&test, &one, 1).await;
    reading.release();
    drop(reading);
    assert_eq!(session.await.unwrap().total_due, 9);
    assert_eq!(apply_all(&test, &one).await, 1);
}

#[tokio::test]
async fn a_process_that_dies_on_the_way_leaves_one_effect_for_whoever_repeats() {
    for point in ["after_queue", "after_note", "after_spool", "before_cache"] {
        let test = site_with(10, 10).await;
        let (one, other) = (test.site().await, test.site().await);
        warm(&one).await;
        let q = question_id(0);
        close_journal(&test).await;
        let paused = failpoint::pause(&test.name, point);
        let dying = tokio::spawn({
            let (site, q) = (one.clone(), q.clone());
            async move { submit(&site, "once", &[&q]).await }
        });
        paused.reached().await;
        dying.abort();
        assert!(dying.await.is_err());
        drop(paused);
        // With it goes what it had in mind.
        drop(one);
        let answer = submit(&other, "once", &[&q]).await;
        assert_eq!(
            (answer.processed, answer.is_degraded),
            (1, false),
            "{point}"
        );
        assert_eq!(read(&other).await.total_due, 9, "{point}");
        open_journal(&test).await;
        journaled(&test, &other, 1).await;
        apply_all(&test, &other).await;
        assert_eq!(count(&test, LOG).await, 1, "{point}");
        let (stability, version) = row(&test, &q).await.unwrap();
        assert_eq!(cached(&other, &q).await, (version, stability), "{point}");
    }
}

#[tokio::test]
async fn of_two_that_could_not_know_of_each_other_the_journals_row_counts() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let q = question_id(0);
    // One cannot reach the queue, so nobody holds the token.
    let proxy = Proxy::start(test.queue.server.port()).await;
    proxy.set(Fault::Cut);
    let mut config = test.config();
    let url = format!("redis://127.0.0.1:{}/{}", proxy.port(), test.queue.index);
    config.redis_queue = memora_core::config::Secret::new(url);
    let cut_off = Site::open(config).unwrap();
    // It dies between journal and cache.
    let paused = failpoint::pause(&test.name, "before_cache");
    let dying = tokio::spawn({
        let (site, q) = (cut_off.clone(), q.clone());
        async move { submit(&site, "once", &[&q]).await }
    });
    paused.reached().await;
    dying.abort();
    let _ = dying.await;
    drop(paused);
    let first = journal::find(&site.db, &key("once"))
        .await
        .unwrap()
        .unwrap();
    // The other cannot insert, and does not read the row: it has the token.
    close_journal(&test).await;
    submit(&site, "once", &[&q]).await;
    assert!(cached(&site, &q).await.0 > first.batch.items[0].review_version);
    open_journal(&test).await;
    journaled(&test, &site, 1).await;
    // What it has shown is gone; the row shows.
    wait::until("the row shows", || async {
        let session = read(&site).await;
        assert_eq!(session.total_due, 9);
        if !is_complete(&site, None).await {
            return None;
        }
        let shown = cached(&site, &q).await;
        (shown.0 == first.batch.items[0].review_version).then_some(())
    })
    .await;
    apply_all(&test, &site).await;
    assert_eq!(count(&test, LOG).await, 1);
    let applied = row(&test, &q).await.unwrap().1;
    assert_eq!(applied, first.batch.items[0].review_version);
}

#[tokio::test]
async fn the_worker_makes_the_row_from_the_job_and_takes_the_entry_out() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let q = question_id(0);
    close_journal(&test).await;
    let making = failpoint::pause(&test.name, "before_late_rows");
    submit(&site, "once", &[&q]).await;
    making.reached().await;
    open_journal(&test).await;
    let entries = site.unjournaled.of(&ann(), &season()).await.unwrap();
    assert!(entries.site_has_some);
    let [submission] = <[_; 1]>::try_from(entries.submissions).unwrap();
    assert_eq!(submission.batch.door, Door::Http);
    let work = Work {
        key: submission.key.clone(),
        job_id: Some("job".to_owned()),
        submission: Some(submission),
    };
    let outcome: Result<()> = apply::apply(&site, &[work], "test").await.remove(0);
    outcome.unwrap();
    assert!(!site.unjournaled.are_there().await.unwrap());
    drop(making);
    // What comes late changes nothing.
    wait::until("nothing is left on disk", || async {
        unjournaled::look(&site).await.unwrap();
        let spooled = std::fs::read_dir(test.config().spool_dir()).unwrap();
        (spooled.count() == 0).then_some(())
    })
    .await;
    assert_eq!(count(&test, ROWS).await, 1);
    assert_eq!(count(&test, LOG).await, 1);
    assert_eq!(cached(&site, &q).await.0, row(&test, &q).await.unwrap().1);
}

#[tokio::test]
async fn while_the_entries_cannot_be_read_nothing_older_is_given_for_the_truth() {
    let test = TestSite::builder().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let (one, other) = (test.site().await, test.site().await);
    warm(&one).await;
    close_journal(&test).await;
    submit(&one, "once", &[&question_id(0)]).await;
    forget(&test).await;
    // This one has seen that there are entries.
    assert_eq!(read(&other).await.total_due, 9);
    wait::until("fills are over", || async {
        is_complete(&other, None).await.then_some(())
    })
    .await;
    test.queue.server.pause();
    forget(&test).await;
    let session = read(&other).await;
    assert!(session.is_degraded, "what it shows may be older");
    let filled = memora_core::services::fill::run(&other, &ann(), &season(), &[]).await;
    assert_eq!(
        filled.unwrap(),
        memora_core::services::fill::Filled::Overtaken
    );
    assert!(!is_complete(&other, None).await);
    // Who took it knows.
    let session = read(&one).await;
    assert_eq!(session.total_due, 9);
    test.queue.server.resume();
    open_journal(&test).await;
    journaled(&test, &one, 1).await;
    wait::until("all is well", || async {
        let session = read(&other).await;
        (session.total_due == 9 && !session.is_degraded).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_whose_holder_left_nothing_does_not_block_its_submission() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    // As of a process that died after a queue that is not ours had held its job back.
    let mut queue = test.queue.connection().await;
    submit(&site, "probe", &[&question_id(9)]).await;
    let tokens = format!("rq:memora:sub:{}:*", test.name);
    let probe: Vec<String> = redis::cmd("KEYS")
        .arg(&tokens)
        .query_async(&mut queue)
        .await
        .unwrap();
    assert_eq!(probe.len(), 1);
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    let _: () = redis::pipe()
        .set(&probe[0], Attempt([7; 16]).to_hex())
        .query_async(&mut queue)
        .await
        .unwrap();
    let jobs: Vec<String> = redis::cmd("KEYS")
        .arg("rq:job:*")
        .query_async(&mut queue)
        .await
        .unwrap();
    let _: () = redis::cmd("DEL")
        .arg(&jobs)
        .query_async(&mut queue)
        .await
        .unwrap();
    close_journal(&test).await;
    let refused = try_submit(&site, "probe", answers(&[&question_id(9)])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    open_journal(&test).await;
    let answer = try_submit(&site, "probe", json!(answers(&[&question_id(9)]))).await;
    assert_eq!(answer.unwrap().processed, 1);
    assert_eq!(count(&test, ROWS).await, 1);
}

#[tokio::test]
async fn a_file_of_weeks_ago_is_left_to_an_operator() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "new", &[&question_id(0)]).await;
    let new = journal::find(&site.db, &key("new")).await.unwrap().unwrap();
    let mut old = new.clone();
    old.key = key("old");
    old.batch.at -= 14 * 86_400 * 1_000_000;
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    for submission in [&new, &old] {
        let json = submission.to_json().unwrap();
        site.spool.append(&json).await.unwrap();
    }
    site.spool.let_go();
    unjournaled::look(&site).await.unwrap();
    let rows: Vec<String> = test
        .query("SELECT submission_id FROM memora_srs_journal", ())
        .await;
    assert_eq!(rows, ["new"]);
    let kept = std::fs::read_dir(test.config().spool_dir()).unwrap();
    let kept: Vec<_> = kept.map(|file| file.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].extension().unwrap(), "kept");
    let told = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
    assert_eq!(count(&test, told).await, 1);
    // Once.
    unjournaled::look(&site).await.unwrap();
    assert_eq!(count(&test, told).await, 1);
}
