//! What happens when two things meet, made to meet by failpoints.

use std::sync::Arc;

use memora_core::failpoint;
use memora_core::schedule_cache::{Known, Lookup};
use memora_core::services::{Site, apply, fill};
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::SubmissionId;
use memora_tests::questions::question_id;
use memora_tests::servers::RedisOptions;
use memora_tests::{TestSite, wait};

use crate::story::{
    ann, apply_all, count, forget, furnish, ids, is_complete, read, season, site_with, submit,
    waiting, warm,
};

/// Keys of schedules, whatever they are.
async fn keys(test: &TestSite) -> Vec<String> {
    let mut redis = test.cache.connection().await;
    redis::cmd("KEYS")
        .arg("*srs:*")
        .query_async(&mut redis)
        .await
        .expect("KEYS")
}

fn spawn_fill(site: &Arc<Site>) -> tokio::task::JoinHandle<memora_core::Result<fill::Filled>> {
    let site = site.clone();
    tokio::spawn(async move { fill::run(&site, &ann(), &season(), &[]).await })
}

// C1 ------------------------------------------------------------------------------

#[tokio::test]
async fn c1_a_tie_in_the_cache_goes_as_in_the_table() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let key = waiting(&test).await.remove(0).key;
    let row = journal::find(&site.db, &key).await.unwrap().unwrap();
    let mut known = row.batch.states().remove(0);
    for (label, later, stability, wins) in [
        ("earlier", -60, 4.0, false),
        ("less stable", 0, 0.5, false),
        ("the same", 0, known.stability.to_f64(), false),
        ("later", 60, 0.5, true),
        ("more stable", 0, 3.9, true),
    ] {
        let mut tie = known.clone();
        tie.due = known.due.plus_seconds(later);
        tie.stability = memora_core::types::Stability::from_f64(stability);
        assert_eq!(tie.beats(&known), wins, "{label}");
        let states = std::slice::from_ref(&tie);
        site.cache.apply(&ann(), &season(), states).await.unwrap();
        if wins {
            known = tie;
        }
        let cached = site
            .cache
            .states(&ann(), &season(), &[&question_id(0)])
            .await
            .unwrap();
        let Lookup::Complete(cached) = cached else {
            panic!("{label}: incomplete")
        };
        assert_eq!(cached.states, [Known::State(known.clone())], "{label}");
    }
}

// C2 ------------------------------------------------------------------------------

#[tokio::test]
async fn c2_a_read_that_meets_the_worker_sees_the_review_before_and_after() {
    let test = site_with(60, 60).await;
    let site = test.site().await;
    for i in 0..20 {
        let answered = question_id(i);
        submit(&site, &format!("s-{i}"), &[&answered]).await;
        let work = waiting(&test).await;
        forget(&test).await;
        // Both at once, many times: whichever comes first, the review shows.
        let (_, session) = tokio::join!(apply::apply(&site, &work, "test"), async {
            forget(&test).await;
            read(&test.site().await).await
        });
        assert!(!ids(&session).contains(&answered.as_str()), "round {i}");
        assert_eq!(session.total_due, 60 - i as u64 - 1);
    }
}

#[tokio::test]
async fn c2_a_fill_that_began_before_the_apply_publishes_the_review() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    wait::until("fills are over", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
    forget(&test).await;
    let paused = failpoint::pause(&test.name, "load_read");
    let filling = spawn_fill(&site);
    paused.reached().await;
    apply_all(&test, &site).await;
    paused.release();
    drop(paused);
    filling.await.unwrap().unwrap();
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn c2_a_total_is_of_one_moment_though_the_worker_commits_meanwhile() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let work = waiting(&test).await;
    wait::until("fills are over", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
    forget(&test).await;
    let other = test.site().await;
    let paused = failpoint::pause(&test.name, "load_counted");
    let reading = tokio::spawn(async move { read(&other).await });
    paused.reached().await;
    apply::apply(&site, &work, "test").await.remove(0).unwrap();
    forget(&test).await;
    paused.release();
    drop(paused);
    let session = reading.await.unwrap();
    assert_eq!((session.total_due, session.questions.len()), (9, 9));
}

#[tokio::test]
async fn c2_an_old_review_that_still_waits_is_not_the_state_of_a_cached_question() {
    let test = site_with(3, 3).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    submit(&site, "s-2", &[&question_id(0)]).await;
    // The first has lost its job; the second is applied.
    let mut work = waiting(&test).await;
    work.retain(|one| one.key.submission.as_str() == "s-2");
    apply::apply(&site, &work, "test").await.remove(0).unwrap();
    let (_, applied) = crate::story::row(&test, &question_id(0)).await.unwrap();
    // Of a new question the journal is asked, and says what waits of all of them.
    submit(&site, "s-3", &[&question_id(0), "NEW-1:0"]).await;
    let mut work = waiting(&test).await;
    work.retain(|one| one.key.submission.as_str() == "s-3");
    let row = journal::find(&site.db, &work[0].key)
        .await
        .unwrap()
        .unwrap();
    let before = row.batch.items[0].before.unwrap();
    assert_eq!(before.review_version, applied);
}

// C4 ------------------------------------------------------------------------------

#[tokio::test]
async fn c4_of_two_attempts_that_computed_both_the_journals_first_wins() {
    let test = site_with(10, 10).await;
    let (one, two) = (test.site().await, test.site().await);
    warm(&one).await;
    let paused = failpoint::pause(&test.name, "after_state");
    let attempts: Vec<_> = [&one, &two]
        .into_iter()
        .map(|site| {
            let site = site.clone();
            tokio::spawn(async move { submit(&site, "once", &[&question_id(0)]).await })
        })
        .collect();
    paused.reached().await;
    paused.reached().await;
    paused.release();
    paused.release();
    drop(paused);
    let mut answers = Vec::new();
    for attempt in attempts {
        answers.push(attempt.await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        1
    );
    let cached = read(&one).await;
    apply_all(&test, &one).await;
    forget(&test).await;
    assert_eq!(read(&one).await, cached);
}

#[tokio::test]
async fn c4_a_retry_repairs_what_a_dead_winner_could_not_show() {
    let test = site_with(10, 10).await;
    let (one, two) = (test.site().await, test.site().await);
    warm(&one).await;
    let paused = failpoint::pause(&test.name, "before_cache");
    let site = one.clone();
    let dying = tokio::spawn(async move { submit(&site, "once", &[&question_id(0)]).await });
    paused.reached().await;
    dying.abort();
    assert!(dying.await.is_err(), "it died between journal and cache");
    drop(paused);
    assert_eq!(read(&two).await.total_due, 10);
    let answer = submit(&two, "once", &[&question_id(0)]).await;
    assert_eq!(answer.processed, 1);
    assert_eq!(read(&two).await.total_due, 9);
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_journal").await,
        1
    );
}

#[tokio::test]
async fn c4_a_job_is_a_pointer_the_journals_payload_is_applied() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "once", &[&question_id(0)]).await;
    let key = waiting(&test).await.remove(0).key;
    let row = journal::find(&site.db, &key).await.unwrap().unwrap();
    // The job of a loser: same submission, another attempt, another state.
    let mut loser = row.clone();
    loser.attempt = memora_core::batch::Attempt::random().unwrap();
    loser.batch.items[0].new_stability = 0.5;
    loser.batch.items[0].review_version += 1_000_000;
    let work = Work {
        key,
        job_id: Some("job".into()),
        submission: Some(loser),
    };
    apply::apply(&site, &[work], "test")
        .await
        .remove(0)
        .unwrap();
    let (stability, version) = crate::story::row(&test, &question_id(0)).await.unwrap();
    assert_eq!(version, row.batch.items[0].review_version);
    assert!((stability - row.batch.items[0].new_stability).abs() < 1e-8);
}

#[tokio::test]
async fn c4_a_job_without_its_row_makes_it_and_a_late_retry_gets_its_answer() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "once", &[&question_id(0)]).await;
    let key = waiting(&test).await.remove(0).key;
    let row = journal::find(&site.db, &key).await.unwrap().unwrap();
    test.exec("DELETE FROM memora_srs_journal", ()).await;
    let work = Work {
        key: key.clone(),
        job_id: Some("job".into()),
        submission: Some(row),
    };
    apply::apply(&site, &[work], "test")
        .await
        .remove(0)
        .unwrap();
    let answer = submit(&site, "once", &[&question_id(0)]).await;
    assert_eq!(answer.processed, 1);
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        1
    );
    assert_eq!(key.submission, SubmissionId::parse("id", "once").unwrap());
}

// C6 ------------------------------------------------------------------------------

#[tokio::test]
async fn c6_a_write_to_a_missing_key_makes_no_key() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    wait::until("fills are over", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
    let batch = waiting(&test).await.remove(0).key;
    let states = journal::find(&site.db, &batch)
        .await
        .unwrap()
        .unwrap()
        .batch
        .states();
    forget(&test).await;
    let applied = site.cache.apply(&ann(), &season(), &states).await.unwrap();
    assert!(!applied.complete);
    assert_eq!(keys(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn c6_a_set_that_others_made_is_never_believed_and_replaced_by_a_fill() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let mut redis = test.cache.connection().await;
    let key = site.cache.keys(&ann(), &season()).schedule;
    let _: () = redis::cmd("ZADD")
        .arg(&key)
        .arg(1)
        .arg("GHOST")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(read(&site).await.total_due, 10);
    wait::until("the fill", || async {
        is_complete(&site, None).await.then_some(())
    })
    .await;
    let ghost: Option<f64> = redis::cmd("ZSCORE")
        .arg(&key)
        .arg("GHOST")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(ghost, None);
    assert_eq!(read(&site).await.total_due, 10);
}

#[tokio::test]
async fn c6_an_older_state_never_replaces_a_newer_one() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "old", &[&question_id(0)]).await;
    let old = waiting(&test).await.remove(0).key;
    let old = journal::find(&site.db, &old)
        .await
        .unwrap()
        .unwrap()
        .batch
        .states();
    submit(&site, "new", &[&question_id(0)]).await;
    let known = || async {
        site.cache
            .states(&ann(), &season(), &[&question_id(0)])
            .await
            .unwrap()
    };
    let newest = known().await;
    site.cache.apply(&ann(), &season(), &old).await.unwrap();
    assert_eq!(known().await, newest);
}

#[tokio::test]
async fn c6_lost_details_cost_a_refill_never_a_wrong_answer() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let details = site.cache.keys(&ann(), &season()).details();
    let mut redis = test.cache.connection().await;
    for _ in 0..2 {
        let _: () = redis::cmd("DEL")
            .arg(&details)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(read(&site).await.total_due, 9);
        wait::until("the refill", || async {
            is_complete(&site, None).await.then_some(())
        })
        .await;
    }
    let _: () = redis::cmd("DEL")
        .arg(&details)
        .query_async(&mut redis)
        .await
        .unwrap();
    submit(&site, "s-2", &[&question_id(1)]).await;
    assert_eq!(read(&site).await.total_due, 8);
}

#[tokio::test]
async fn c6_details_never_describe_a_due_time_that_others_set() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("ZADD")
        .arg(site.cache.keys(&ann(), &season()).schedule)
        .arg(1_000_000_000)
        .arg(question_id(3))
        .query_async(&mut redis)
        .await
        .unwrap();
    let cached = site
        .cache
        .states(&ann(), &season(), &[&question_id(3)])
        .await
        .unwrap();
    let Lookup::Complete(cached) = cached else {
        panic!("incomplete")
    };
    assert_eq!(cached.states, [Known::NoDetails]);
    assert_eq!(read(&site).await.total_due, 10);
}

// C7 ------------------------------------------------------------------------------

#[tokio::test]
async fn c7_a_write_during_a_fill_makes_it_read_again() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = spawn_fill(&site);
    paused.reached().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    paused.release();
    paused.reached().await;
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
    assert!(is_complete(&site, None).await);
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn c7_a_fill_that_lost_its_lease_publishes_nothing() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let slow = spawn_fill(&site);
    paused.reached().await;
    // Its lease runs out; somebody else fills, and a review comes.
    let mut redis = test.cache.connection().await;
    let lease = site.cache.keys(&ann(), &season()).lease();
    let _: () = redis::cmd("DEL")
        .arg(&lease)
        .query_async(&mut redis)
        .await
        .unwrap();
    let quick = spawn_fill(&site);
    paused.reached().await;
    paused.release();
    paused.release();
    drop(paused);
    let ends = [slow.await.unwrap().unwrap(), quick.await.unwrap().unwrap()];
    assert_eq!(ends, [fill::Filled::Overtaken, fill::Filled::Yes]);
    submit(&site, "s-1", &[&question_id(0)]).await;
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn c7_a_staging_key_that_was_evicted_is_never_published() {
    let test = site_with(1500, 10).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "chunk_n");
    let filling = spawn_fill(&site);
    paused.reached().await;
    let staged = site.cache.keys(&ann(), &season()).staged_schedule();
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("DEL")
        .arg(&staged)
        .query_async(&mut redis)
        .await
        .unwrap();
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Overtaken);
    assert!(!is_complete(&site, None).await);
    assert_eq!(read(&site).await.total_due, 10);
}

#[tokio::test]
async fn c7_staged_details_with_a_gap_are_never_published() {
    let test = site_with(300, 10).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = spawn_fill(&site);
    paused.reached().await;
    let staged = site.cache.keys(&ann(), &season()).staged_details();
    let mut redis = test.cache.connection().await;
    let gone: u64 = redis::cmd("HDEL")
        .arg(&staged)
        .arg("b0")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(gone, 1);
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Overtaken);
    assert!(!is_complete(&site, None).await);
}

#[tokio::test]
async fn c7_a_subjects_set_of_another_fill_is_not_believed() {
    let test = site_with(30, 30).await;
    let site = test.site().await;
    crate::story::warm_with(&site, &["Mathematics"]).await;
    let keys = site.cache.keys(&ann(), &season());
    let mut redis = test.cache.connection().await;
    // Evicted: the next fill does not know of the subject's set, which stays behind.
    let _: () = redis::cmd("DEL")
        .arg(keys.details())
        .query_async(&mut redis)
        .await
        .unwrap();
    // Not the most overdue one: what is on the page is checked against the details.
    submit(&site, "s-1", &[&question_id(27)]).await;
    warm(&site).await;
    let left: bool = redis::cmd("EXISTS")
        .arg(keys.subject("Mathematics"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(left);
    let request = serde_json::json!({"subject": "Mathematics", "limit": 1});
    let session = crate::story::try_read(&site, request).await.unwrap();
    assert_eq!(session.total_due, 9);
}

#[tokio::test]
async fn c7_a_fill_without_its_lease_publishes_nothing_though_nobody_else_fills() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = spawn_fill(&site);
    paused.reached().await;
    // From here on no write could make it dirty.
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("DEL")
        .arg(site.cache.keys(&ann(), &season()).lease())
        .query_async(&mut redis)
        .await
        .unwrap();
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Overtaken);
    assert!(!is_complete(&site, None).await);
}

#[tokio::test]
async fn c7_what_is_published_lives_for_thirty_days() {
    let test = site_with(30, 30).await;
    let site = test.site().await;
    crate::story::warm_with(&site, &["Mathematics"]).await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let keys = site.cache.keys(&ann(), &season());
    let mut redis = test.cache.connection().await;
    for key in [
        keys.subject("Mathematics"),
        keys.details(),
        keys.schedule.clone(),
    ] {
        let seconds: i64 = redis::cmd("TTL")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!(
            (2_591_900..=2_592_000).contains(&seconds),
            "{key}: {seconds}"
        );
    }
}

#[tokio::test]
async fn c7_one_student_is_filled_by_one_at_a_time() {
    let test = site_with(10, 10).await;
    let (one, two) = (test.site().await, test.site().await);
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = spawn_fill(&one);
    paused.reached().await;
    let other = fill::run(&two, &ann(), &season(), &[]).await.unwrap();
    assert_eq!(other, fill::Filled::Elsewhere);
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Yes);
}

// C8 ------------------------------------------------------------------------------

#[tokio::test]
async fn c8_a_redis_that_came_back_with_an_old_dump_is_not_believed() {
    let options = RedisOptions {
        dump: true,
        ..RedisOptions::default()
    };
    let test = TestSite::builder().own_cache_with(options).build().await;
    furnish(&test, 10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("SAVE").query_async(&mut redis).await.unwrap();
    submit(&site, "s-1", &[&question_id(0)]).await;
    apply_all(&test, &site).await;
    test.cache.server.kill();
    test.cache.server.start_again().await;
    let key = site.cache.keys(&ann(), &season()).schedule;
    let mut redis = test.cache.connection().await;
    let members: u64 = redis::cmd("ZCARD")
        .arg(&key)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(members, 11, "the old schedule is there");
    let session = read(&test.site().await).await;
    assert_eq!(session.total_due, 9);
    assert!(!ids(&session).contains(&question_id(0).as_str()));
}

#[tokio::test]
async fn c8_a_replica_holds_nothing() {
    let test = TestSite::builder()
        .own_cache_with(RedisOptions::default())
        .build()
        .await;
    furnish(&test, 10, 10).await;
    let site = test.site().await;
    warm(&site).await;
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .query_async(&mut redis)
        .await
        .unwrap();
    let session = read(&site).await;
    assert_eq!((session.total_due, session.is_degraded), (10, true));
    let answer = submit(&site, "s-1", &[&question_id(0)]).await;
    assert!(answer.is_degraded);
    let _: () = redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .query_async(&mut redis)
        .await
        .unwrap();
    let session = read(&site).await;
    assert_eq!(
        (session.total_due, session.is_degraded),
        (9, false),
        "another data set now"
    );
}

// C9 ------------------------------------------------------------------------------

#[tokio::test]
async fn c9_two_workers_with_the_same_rows_apply_them_once() {
    let test = site_with(30, 30).await;
    let (one, two) = (test.site().await, test.site().await);
    for i in 0..10 {
        submit(
            &one,
            &format!("s-{i}"),
            &[&question_id(i), &question_id(29 - i)],
        )
        .await;
    }
    let work = waiting(&test).await;
    let mut reversed = work.clone();
    reversed.reverse();
    let outcomes = tokio::join!(
        apply::apply(&one, &work, "one"),
        apply::apply(&two, &reversed, "two")
    );
    assert!(
        outcomes.0.iter().chain(&outcomes.1).all(Result::is_ok),
        "{outcomes:?}"
    );
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_review_log").await,
        20
    );
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        10
    );
}

#[tokio::test]
async fn c9_a_fill_while_the_worker_has_not_committed_shows_the_review() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    submit(&site, "s-1", &[&question_id(0)]).await;
    let work = waiting(&test).await;
    let paused = failpoint::pause(&test.name, "apply_upserted");
    let applying = {
        let site = site.clone();
        tokio::spawn(async move { apply::apply(&site, &work, "test").await.remove(0) })
    };
    paused.reached().await;
    forget(&test).await;
    assert_eq!(
        fill::run(&site, &ann(), &season(), &[]).await.unwrap(),
        fill::Filled::Yes
    );
    assert_eq!(read(&site).await.total_due, 9);
    paused.release();
    drop(paused);
    applying.await.unwrap().unwrap();
    assert_eq!(read(&site).await.total_due, 9);
}

#[tokio::test]
async fn c7_a_fill_that_came_to_nothing_leaves_no_lease_behind() {
    let test = site_with(5, 5).await;
    let site = test.site().await;
    // What was staged is evicted.
    let paused = failpoint::pause(&test.name, "before_publish");
    let filling = spawn_fill(&site);
    paused.reached().await;
    let mut redis = test.cache.connection().await;
    let stage = keys(&test).await;
    let stage: Vec<_> = stage.iter().filter(|k| k.ends_with(":stage")).collect();
    let unlink: i64 = redis::cmd("UNLINK")
        .arg(stage)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(unlink, 1);
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Overtaken);
    assert!(keys(&test).await.is_empty());
    // The rows cannot be read.
    let failing = failpoint::fail(&test.name, "load_read");
    fill::run(&site, &ann(), &season(), &[]).await.unwrap_err();
    drop(failing);
    let filled = fill::run(&site, &ann(), &season(), &[]).await.unwrap();
    assert_eq!(filled, fill::Filled::Yes);
}
