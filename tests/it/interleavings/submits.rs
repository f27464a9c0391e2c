//! Two submits, or a submit and its job.

use super::*;

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
    // The version comes first, then the due time, then the stability.
    for (label, newer, later, stability, wins) in [
        ("earlier", 0, -60, 4.0, false),
        ("less stable", 0, 0, 0.5, false),
        ("the same", 0, 0, known.stability.to_f64(), false),
        ("later", 0, 60, 0.5, true),
        ("more stable", 0, 0, 3.9, true),
        ("older, later and more stable", -1, 60, 4.0, false),
        ("newer, earlier and less stable", 1, -60, 0.5, true),
    ] {
        let mut tie = known.clone();
        tie.version.0 += newer;
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

    // What somebody took out of the schedule past the engine defends nothing by its record.
    let key = site.cache.keys(&ann(), &season()).schedule;
    let mut redis = test.cache.connection().await;
    let mut take_out = redis::cmd("ZREM");
    take_out.arg(key).arg(question_id(0));
    let removed: u32 = take_out.query_async(&mut redis).await.unwrap();
    assert_eq!(removed, 1);
    known.version.0 -= 5;
    let states = std::slice::from_ref(&known);
    site.cache.apply(&ann(), &season(), states).await.unwrap();
    let cached = site
        .cache
        .states(&ann(), &season(), &[&question_id(0)])
        .await
        .unwrap();
    let Lookup::Complete(cached) = cached else {
        panic!("incomplete")
    };
    assert_eq!(cached.states, [Known::State(known)]);
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
