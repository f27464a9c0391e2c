//! A schedule that is written, filled, forgotten or lost while it is used.

use super::*;

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
    // It ends there: the rest is not staged for nothing, in a Redis that has no room.
    let staged_all = failpoint::fail(&test.name, "before_publish");
    paused.release();
    drop(paused);
    assert_eq!(filling.await.unwrap().unwrap(), fill::Filled::Overtaken);
    drop(staged_all);
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

/// Whoever changed what is staged: nothing of it is published.
#[tokio::test]
async fn c7_what_is_staged_is_published_only_as_it_was_staged() {
    let test = site_with(10, 10).await;
    let site = test.site().await;
    let keys = site.cache.keys(&ann(), &season());
    let staged = keys.staged_schedule();
    let mut redis = test.cache.connection().await;
    for what in [
        "a member is gone",
        "it is another fill's",
        "a subject is gone",
    ] {
        let paused = failpoint::pause(&test.name, "before_publish");
        let filling = {
            let (site, subjects) = (site.clone(), vec!["Mathematics".to_owned()]);
            tokio::spawn(async move { fill::run(&site, &ann(), &season(), &subjects).await })
        };
        paused.reached().await;
        let mut marker = redis::cmd("ZRANGEBYSCORE");
        marker.arg(&staged).arg("+inf").arg("+inf");
        let marker: Vec<String> = marker.query_async(&mut redis).await.unwrap();
        let mut change = redis::pipe();
        match what {
            "a member is gone" => change.zrem(&staged, question_id(0)),
            "it is another fill's" => {
                change
                    .zrem(&staged, &marker)
                    .zadd(&staged, "\0tanother", "+inf")
            }
            _ => change.del(keys.staged_subject("Mathematics")),
        };
        let changed: Vec<u32> = change.query_async(&mut redis).await.unwrap();
        assert!(changed.iter().all(|n| *n == 1), "{what}: {changed:?}");
        paused.release();
        drop(paused);
        let end = filling.await.unwrap().unwrap();
        assert_eq!(end, fill::Filled::Overtaken, "{what}");
        assert!(!is_complete(&site, None).await, "{what}");
        forget(&test).await;
    }
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
    let lease = site.cache.keys(&ann(), &season()).lease();
    let mut redis = test.cache.connection().await;
    for whose in ["nobody's", "another fill's", "another server's"] {
        let paused = failpoint::pause(&test.name, "before_publish");
        let filling = spawn_fill(&site);
        paused.reached().await;
        // From here on no write could make it dirty, or a write made another one dirty.
        let mut change = match whose {
            "nobody's" => redis::cmd("DEL"),
            _ => redis::cmd("HSET"),
        };
        change.arg(&lease);
        match whose {
            "another fill's" => change.arg("t").arg("another"),
            "another server's" => change.arg("i").arg("another"),
            _ => &mut change,
        };
        let _: () = change.query_async(&mut redis).await.unwrap();
        paused.release();
        drop(paused);
        let end = filling.await.unwrap().unwrap();
        assert_eq!(end, fill::Filled::Overtaken, "{whose}");
        assert!(!is_complete(&site, None).await, "{whose}");
        forget(&test).await;
    }
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
