//! Redis comes back for everybody: as it was, with an old data set, with none, or another.

use memora_tests::proxy::{Fault, Proxy};
use memora_tests::servers::{Redis, RedisOptions};
use memora_tests::{Sidecar, TestSite, Worker, wait};
use mysql_async::prelude::Queryable;
use tokio::time::Duration;

use super::{Client, all_applied, all_healed, listed, stage, stage_with, through, unhealed};

/// How Redis was away.
enum Away {
    /// Frozen: it comes back with every schedule as complete as it was.
    Frozen,
    /// Killed; nothing is left.
    Empty,
    /// Killed; it comes back with a dump from before.
    OldDump,
}

async fn story(away: Away) {
    let (test, student) = stage_with(RedisOptions {
        dump: matches!(away, Away::OldDump),
        ..RedisOptions::default()
    })
    .await;
    let one = Sidecar::start(&test).await;
    let two = Sidecar::start(&test).await;
    let (one, two) = (
        Client::of(&one, &test, &student),
        Client::of(&two, &test, &student),
    );
    one.warm(&test).await;
    two.recovers().await;
    assert!(!one.submit(0).await);
    match away {
        Away::Frozen => test.cache.server.pause(),
        Away::Empty => test.cache.server.kill(),
        Away::OldDump => {
            let mut redis = test.cache.connection().await;
            let saved: redis::RedisResult<()> = redis::cmd("SAVE").query_async(&mut redis).await;
            saved.expect("SAVE");
            assert!(!two.submit(1).await);
            test.cache.server.kill();
        }
    }
    let mut answered = if matches!(away, Away::OldDump) { 2 } else { 1 };
    for client in [&one, &two, &one] {
        assert!(client.submit(answered).await, "it cannot show yet");
        answered += 1;
    }
    if let Some(session) = two.read().await {
        assert_eq!(session["total_due"], super::DUE - answered);
    }
    match away {
        Away::Frozen => test.cache.server.resume(),
        Away::Empty | Away::OldDump => test.cache.server.start_again().await,
    }
    for client in [&one, &two] {
        client.recovers().await;
        client.never_shows(answered).await;
    }
    all_healed(&test).await;
    one.warm(&test).await;
    // Healed, and still to be applied.
    let _worker = Worker::start(&test);
    all_applied(&test).await;
    two.never_shows(answered).await;
}

#[tokio::test]
async fn as_it_was() {
    story(Away::Frozen).await;
}

#[tokio::test]
async fn with_nothing() {
    story(Away::Empty).await;
}

#[tokio::test]
async fn with_an_old_dump() {
    story(Away::OldDump).await;
}

#[tokio::test]
async fn while_the_queue_is_away_too() {
    let (test, student) = stage().await;
    let one = Sidecar::start(&test).await;
    let two = Sidecar::start(&test).await;
    let (one, two) = (
        Client::of(&one, &test, &student),
        Client::of(&two, &test, &student),
    );
    one.warm(&test).await;
    two.recovers().await;
    test.cache.server.pause();
    test.queue.server.kill();
    assert!(one.submit(0).await);
    assert!(one.submit(1).await);
    // What is known is in one process's memory, and in the journal.
    test.cache.server.resume();
    for client in [&one, &two] {
        client.recovers().await;
        client.never_shows(2).await;
    }
    wait::until("the journal's rows are healed", || async {
        (unhealed(&test).await == 0).then_some(())
    })
    .await;
    test.queue.server.start_again().await;
    assert!(!two.submit(2).await);
    one.never_shows(3).await;
    assert_eq!(listed(&test).await, 0);
}

#[tokio::test]
async fn when_only_the_journal_knows() {
    let (test, student) = stage().await;
    let dying = Sidecar::start(&test).await;
    let living = Sidecar::start(&test).await;
    let (one, two) = (
        Client::of(&dying, &test, &student),
        Client::of(&living, &test, &student),
    );
    one.warm(&test).await;
    two.recovers().await;
    test.cache.server.pause();
    test.queue.server.kill();
    assert!(one.submit(0).await);
    dying.process.kill();
    wait::until("the other is in Safe Mode", || async {
        (!two.is_normal().await).then_some(())
    })
    .await;
    test.cache.server.resume();
    two.recovers().await;
    two.never_shows(1).await;
    two.warm(&test).await;
    two.never_shows(1).await;
}

#[tokio::test]
async fn while_a_worker_holds_the_row() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let client = Client::of(&sidecar, &test, &student);
    client.warm(&test).await;
    test.cache.server.pause();
    assert!(client.submit(0).await);
    let mut worker = test.db.get_conn().await.expect("a connection");
    let hold = "SELECT 1 FROM memora_srs_journal FOR UPDATE";
    worker.query_drop("BEGIN").await.expect("a transaction");
    worker.query_drop(hold).await.expect("the row");
    test.cache.server.resume();
    // The schedule is made good all the same; the row is the worker's to mark.
    client.recovers().await;
    client.never_shows(1).await;
    assert_eq!(unhealed(&test).await, 1);
    worker.query_drop("ROLLBACK").await.expect("the end");
    let _worker = Worker::start(&test);
    all_applied(&test).await;
    assert_eq!(unhealed(&test).await, 0);
    client.never_shows(1).await;
}

#[tokio::test]
async fn as_a_lagging_replica_that_was_promoted() {
    let (test, student) = stage().await;
    let proxy = Proxy::start(test.cache.server.port()).await;
    let start = through(&test, Some(&proxy), None);
    let sidecar = Sidecar::start_with(&test, &start).await.expect("a sidecar");
    let client = Client::of(&sidecar, &test, &student);
    client.warm(&test).await;
    let replica = replica_of(&test).await;
    // It lags: what comes now never reaches it.
    replica.pause();
    assert!(!client.submit(0).await, "confirmed");
    test.cache.server.kill();
    proxy.set(Fault::Cut);
    assert!(client.submit(1).await);
    replica.resume();
    let mut redis = replica.connection().await;
    let promoted: redis::RedisResult<()> = redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .query_async(&mut redis)
        .await;
    promoted.expect("REPLICAOF");
    proxy.lead_to(replica.port());
    proxy.set(Fault::None);
    client.recovers().await;
    client.never_shows(2).await;
}

/// A replica of the site's cache that has all of it.
async fn replica_of(test: &TestSite) -> Redis {
    let replica = Redis::start(RedisOptions::default())
        .await
        .expect("a Redis");
    let mut redis = replica.connection().await;
    let begun: redis::RedisResult<()> = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(test.cache.server.port())
        .query_async(&mut redis)
        .await;
    begun.expect("REPLICAOF");
    wait::until("the replica has everything", || async {
        let mut redis = replica.connection().await;
        let info: redis::RedisResult<String> = redis::cmd("INFO")
            .arg("replication")
            .query_async(&mut redis)
            .await;
        let info = info.ok()?;
        info.contains("master_link_status:up").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    replica
}
