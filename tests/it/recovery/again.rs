//! Outage upon outage while the queue Redis stays away, so that no process hears of another:
//! what was accepted in any of them shows.

use std::sync::Arc;

use http::StatusCode;
use memora_core::services::Site;
use memora_core::services::players;
use memora_core::services::sweep::{patrol, sweep};
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::questions::question_id;
use memora_tests::{Sidecar, TestSite, Worker, wait};
use serde_json::json;

use super::{
    Client, all_applied, all_healed, listed, opened_through, stage, stage_of, through, unhealed,
};
use crate::story::{furnish, is_complete, read, season, submit, try_read, warm};

#[tokio::test]
#[ignore = "takes most of a minute"]
async fn of_the_cache_and_of_mariadb_in_turns() {
    let (test, student) = stage_of(TestSite::builder().own_mariadb().own_cache()).await;
    let (dying, living) = (Sidecar::start(&test).await, Sidecar::start(&test).await);
    let one = Client::of(&dying, &test, &student);
    let two = Client::of(&living, &test, &student);
    one.warm(&test).await;
    two.recovers().await;
    test.queue.server.kill();
    let mut answered = 0;
    for round in 0..3 {
        test.cache.server.pause();
        for client in [&one, &two] {
            assert!(client.submit(answered).await, "it cannot show yet");
            answered += 1;
        }
        // Redis is back, and nobody can say what it lacks.
        test.mariadb.pause();
        test.cache.server.resume();
        for client in [&one, &two, &one, &two] {
            let status = client.ask().await.status;
            assert_ne!(status, StatusCode::OK, "it would show something older");
        }
        // Away again before that is known, and more is accepted.
        test.cache.server.pause();
        test.mariadb.resume();
        wait::until("submits are taken again", || async {
            one.try_submit(answered).await.then_some(())
        })
        .await;
        answered += 1;
        if round == 2 {
            // With it dies what it knows.
            dying.process.kill();
        }
        test.cache.server.resume();
        two.recovers().await;
        two.never_shows(answered).await;
        if round < 2 {
            one.recovers().await;
            one.never_shows(answered).await;
            one.warm(&test).await;
        }
    }
    two.warm(&test).await;
    two.never_shows(answered).await;
    wait::until("the journal's rows are healed", || async {
        (unhealed(&test).await == 0).then_some(())
    })
    .await;
    test.queue.server.start_again().await;
    let _worker = Worker::start(&test);
    all_applied(&test).await;
    two.never_shows(answered).await;
}

#[tokio::test]
async fn what_stands_on_a_list_that_cannot_be_read_shows_after_an_outage() {
    let (test, student) = stage().await;
    let (cache, queue) = (
        Proxy::start(test.cache.server.port()).await,
        Proxy::start(test.queue.server.port()).await,
    );
    let start = through(&test, Some(&cache), Some(&queue));
    let sidecar = Sidecar::start_with(&test, &start).await.expect("a sidecar");
    let client = Client::of(&sidecar, &test, &student);
    client.warm(&test).await;
    queue.set(Fault::Cut);
    // Edited in Desk by a process that cannot tell the cache, and then dies: the journal
    // knows nothing of that.
    let nowhere = Proxy::start(test.cache.server.port()).await;
    nowhere.set(Fault::Cut);
    let desk = opened_through(&test, Some(&nowhere), None);
    let sql = "UPDATE `tabPlayer Memory Tracker` SET next_review_date = '2099-01-01' \
               WHERE player = ? AND question_id = ?";
    test.exec(sql, (student.name.as_str(), question_id(0)))
        .await;
    players::invalidate(&desk, &student.player(), &season())
        .await
        .expect_err("the cache is away");
    drop(desk);
    assert_eq!(listed(&test).await, 1);
    for _ in 0..2 {
        cache.set(Fault::BlackHole);
        wait::until("Safe Mode begins", || async {
            (!client.is_normal().await).then_some(())
        })
        .await;
        cache.set(Fault::None);
        client.recovers().await;
        client.never_shows(1).await;
        client.warm(&test).await;
    }
    assert_eq!(listed(&test).await, 1, "it could not be read");
    queue.set(Fault::None);
    all_healed(&test).await;
    client.never_shows(1).await;
}

#[tokio::test]
async fn who_is_cut_off_from_both_leaves_rows_to_those_who_can_show_them() {
    let test = TestSite::builder().own_cache().own_queue().build().await;
    furnish(&test, 10, 10).await;
    let (cache, queue) = (
        Proxy::start(test.cache.server.port()).await,
        Proxy::start(test.queue.server.port()).await,
    );
    let whole = test.site().await;
    let cut = opened_through(&test, Some(&cache), Some(&queue));
    warm(&whole).await;
    read(&cut).await;
    cache.set(Fault::Cut);
    queue.set(Fault::Cut);
    for n in 0..3 {
        let answer = submit(&cut, &format!("s-{n}"), &[&question_id(n)]).await;
        assert!(answer.is_degraded);
    }
    wait::until("it knows that it is cut off", || async {
        read_or_not(&cut).await;
        cut.safe_mode().is_active().then_some(())
    })
    .await;
    let older = |seconds: u32| {
        let sql = format!(
            "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL {seconds} SECOND"
        );
        let test = &test;
        async move { test.exec(&sql, ()).await }
    };
    older(40).await;
    assert_eq!(sweep(&cut, "cut", 100).await.expect("a sweep"), 0);
    assert_eq!(patrol(&cut, "cut").await.expect("a patrol"), 0);
    assert_eq!(sweep(&whole, "whole", 100).await.expect("a sweep"), 3);
    assert_eq!(unhealed(&test).await, 0);
    let session = read(&whole).await;
    assert_eq!((session.total_due, session.is_degraded), (7, false));
    assert!(is_complete(&whole, None).await);
    // Where nobody else comes, it does so at last.
    let answer = submit(&cut, "alone", &[&question_id(5)]).await;
    assert!(answer.is_degraded);
    older(100).await;
    assert_eq!(patrol(&cut, "cut").await.expect("a patrol"), 1);
    cache.set(Fault::None);
    queue.set(Fault::None);
    wait::until("it is healed", || async {
        read_or_not(&cut).await;
        (unhealed(&test).await == 0).then_some(())
    })
    .await;
    assert_eq!(read(&whole).await.total_due, 6);
}

async fn read_or_not(site: &Arc<Site>) {
    let _ = try_read(site, json!({})).await;
}
