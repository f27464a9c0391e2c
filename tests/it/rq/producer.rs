//! One job a submission, in the right queue, within Frappe's access rules?

use std::sync::Arc;

use futures_util::future::join_all;
use memora_core::config::{RqConfig, SiteConfig};
use memora_core::queue::{Enqueued, Producer, Requeued, persistence_job_id};
use memora_core::types::UtcMicros;
use memora_tests::count::RedisCounter;
use memora_tests::servers::{Redis, RedisDb, RedisOptions};
use redis::AsyncCommands;
use serde_json::json;

use super::{QUEUE, SITE, ask, config, link, queue_db, submission, with_attempt, worker};

const OWN: &str = "rq:queue:bench:srs_write";
const DEFAULT: &str = "rq:queue:bench:default";

fn producer(db: &RedisDb, config: &SiteConfig) -> Producer {
    Producer::new(link(&db.url()), config)
}

/// A site of a bench that knows nothing of our queue.
fn plain_bench() -> SiteConfig {
    SiteConfig {
        custom_queues: Vec::new(),
        ..config(1)
    }
}

#[tokio::test]
async fn of_fifty_attempts_one_wins_and_there_is_one_job() {
    let db = queue_db().await;
    let producers = [producer(&db, &config(1)), producer(&db, &config(1))];
    let attempts: Vec<_> = (1..=50)
        .map(|n| with_attempt(submission("ann@example.com", "s-1"), n))
        .collect();

    let answers = join_all(
        attempts
            .iter()
            .enumerate()
            .map(|(n, attempt)| producers[n % 2].enqueue(attempt)),
    )
    .await;

    let winners: Vec<_> = answers.into_iter().map(|a| a.unwrap().winner).collect();
    assert!(winners.iter().all(|winner| *winner == winners[0]));
    assert!(attempts.iter().any(|a| a.attempt == winners[0]));
    let mut redis = db.connection().await;
    let waiting: Vec<String> = redis.lrange(OWN, 0, -1).await.unwrap();
    assert_eq!(waiting, [producers[0].job_id(&attempts[0])]);
    // What is queued is the winner's.
    let jobs = worker(&db.url(), 1)
        .take(10, UtcMicros::now())
        .await
        .unwrap();
    assert_eq!(jobs[0].call.attempt, Some(winners[0]));
}

#[tokio::test]
async fn the_token_belongs_to_player_and_submission_and_stays_as_long_as_the_journal() {
    let db = queue_db().await;
    let mut config = config(1);
    config.srs.journal_days = 3;
    let producer = producer(&db, &config);
    for (player, id) in [
        ("ann@example.com", "s-1"),
        ("bob@example.com", "s-1"),
        ("ann@example.com", "s-2"),
        ("Ann@example.com", "s-1"),
    ] {
        let ours = submission(player, id);
        let answer = producer.enqueue(&ours).await.unwrap();
        assert_eq!(answer.winner, ours.attempt, "{player} {id}");
    }
    let mut redis = db.connection().await;
    let waiting: usize = redis.llen(OWN).await.unwrap();
    assert_eq!(waiting, 4);
    let tokens: Vec<String> = ask(&mut redis, &["KEYS", "rq:memora:sub:srs.localhost:*"]).await;
    assert_eq!(tokens.len(), 4);
    let ttl: i64 = redis.ttl(&tokens[0]).await.unwrap();
    assert!((3 * 86_400 - 60..=3 * 86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn enqueueing_is_one_round_trip() {
    let db = queue_db().await;
    let producer = producer(&db, &plain_bench());
    producer.enqueue(&submission("ann", "s-1")).await.unwrap();
    let mut commands = RedisCounter::start(&db).await;
    producer.enqueue(&submission("ann", "s-2")).await.unwrap();
    let sent = commands.take().await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("EVALSHA"), "{sent:?}");
}

#[tokio::test]
async fn the_queue_is_ours_once_anybody_used_it_and_default_before() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let producer = producer(&db, &plain_bench());
    let length = async |list: &str| -> usize { db.connection().await.llen(list).await.unwrap() };

    producer.enqueue(&submission("ann", "s-1")).await.unwrap();
    assert_eq!((length(OWN).await, length(DEFAULT).await), (0, 1));
    let id = producer.job_id(&submission("ann", "s-1"));
    let origin: String = redis.hget(format!("rq:job:{id}"), "origin").await.unwrap();
    assert_eq!(origin, "bench:default");

    let _: () = redis.sadd("rq:queues", OWN).await.unwrap();
    producer.enqueue(&submission("ann", "s-2")).await.unwrap();
    assert_eq!((length(OWN).await, length(DEFAULT).await), (1, 1));
    let id = producer.job_id(&submission("ann", "s-2"));
    let origin: String = redis.hget(format!("rq:job:{id}"), "origin").await.unwrap();
    assert_eq!(origin, QUEUE);
}

#[tokio::test]
async fn the_site_may_name_its_queue() {
    let db = queue_db().await;
    let mut config = config(1);
    config.srs.queue = Some("long".to_owned());
    let producer = producer(&db, &config);
    producer.enqueue(&submission("ann", "s-1")).await.unwrap();
    let mut redis = db.connection().await;
    let waiting: Vec<String> = redis.lrange("rq:queue:bench:long", 0, -1).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let timeout: String = redis
        .hget(format!("rq:job:{}", waiting[0]), "timeout")
        .await
        .unwrap();
    assert_eq!(timeout, "1500");
    let listed: Vec<String> = redis.smembers("rq:queues").await.unwrap();
    assert_eq!(listed, ["rq:queue:bench:long"]);
}

#[tokio::test]
async fn a_job_runs_and_is_kept_as_long_as_the_bench_says() {
    let db = queue_db().await;
    let mut config = config(1);
    config.rq = RqConfig {
        timeouts: [("srs_write".to_owned(), 77)].into(),
        result_ttl: 5,
        failure_ttl: -1,
    };
    let producer = producer(&db, &config);
    let ours = submission("ann", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let key = format!("rq:job:{}", producer.job_id(&ours));
    let mut redis = db.connection().await;
    let fields = ["timeout", "result_ttl", "failure_ttl"];
    let values: Vec<String> = redis.hmget(&key, &fields).await.unwrap();
    assert_eq!(values, ["77", "5", "-1"]);
    // Our worker keeps to it.
    let worker = worker(&db.url(), 1);
    let now = UtcMicros::now();
    let jobs = worker.take(1, now).await.unwrap();
    worker.finish(&jobs[0], &json!({}), now).await.unwrap();
    let ttl: i64 = redis.ttl(&key).await.unwrap();
    assert!((1..=5).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn on_default_only_so_many_of_ours_wait() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let mut config = plain_bench();
    config.srs.default_queue_max = 3;
    let producer = producer(&db, &config);
    // Jobs of others do not count.
    for n in 0..10 {
        let _: () = redis.rpush(DEFAULT, format!("other-{n}")).await.unwrap();
    }
    let held = async |n: u32| {
        let ours = submission("ann", &format!("s-{n}"));
        let Enqueued { winner, held_back } = producer.enqueue(&ours).await.unwrap();
        assert_eq!(winner, ours.attempt);
        held_back
    };
    for n in 0..3 {
        assert!(!held(n).await, "{n}");
    }
    assert!(held(3).await);
    let waiting: usize = redis.llen(DEFAULT).await.unwrap();
    assert_eq!(waiting, 13);
    // Its token is taken all the same: a retry is no second submission.
    let again = with_attempt(submission("ann", "s-3"), 9);
    let answer = producer.enqueue(&again).await.unwrap();
    assert_eq!(answer.winner, submission("ann", "s-3").attempt);

    // One was started, one is gone: there is room for two.
    let id = |n: u32| producer.job_id(&submission("ann", &format!("s-{n}")));
    let _: () = redis
        .hset(format!("rq:job:{}", id(0)), "status", "started")
        .await
        .unwrap();
    let _: () = redis.del(format!("rq:job:{}", id(1))).await.unwrap();
    assert!(!held(4).await);
    assert!(!held(5).await);
    assert!(held(6).await);
}

#[tokio::test]
async fn the_sweeper_queues_again_past_the_token_but_not_what_is_still_there() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let producer = producer(&db, &config(1));
    let now = UtcMicros::now();
    let loser = with_attempt(submission("ann", "s-1"), 1);
    let journal = with_attempt(submission("ann", "s-1"), 2);
    producer.enqueue(&loser).await.unwrap();
    let id = producer.job_id(&loser);
    assert_eq!(
        producer.requeue(&journal, now).await.unwrap(),
        Requeued::StillThere
    );
    // The token follows the journal all the same.
    assert_eq!(
        producer.enqueue(&loser).await.unwrap().winner,
        journal.attempt
    );

    let _: () = redis.del(&[OWN, &format!("rq:job:{id}")]).await.unwrap();
    assert_eq!(
        producer.requeue(&journal, now).await.unwrap(),
        Requeued::Queued
    );
    let worker = worker(&db.url(), 1);
    let jobs = worker.take(10, now).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].call.submission().unwrap(), journal);
    assert_eq!(
        producer.requeue(&journal, now).await.unwrap(),
        Requeued::StillThere
    );

    // A failed job is queued again and no longer listed as failed.
    worker.fail(&jobs[0], "x", now).await.unwrap();
    assert_eq!(
        producer.requeue(&journal, now).await.unwrap(),
        Requeued::Queued
    );
    let failed: usize = redis.zcard(format!("rq:failed:{QUEUE}")).await.unwrap();
    assert_eq!(failed, 0);
    let ttl: i64 = redis.ttl(format!("rq:job:{id}")).await.unwrap();
    assert_eq!(ttl, -1);
    assert_eq!(worker.take(10, now).await.unwrap().len(), 1);
}

#[tokio::test]
async fn frappes_access_rules_suffice() {
    let server = Arc::new(Redis::start(RedisOptions::default()).await.unwrap());
    let mut redis = server.connection().await;
    // As `bench create-rq-users` makes the bench's user.
    let _: () = ask(
        &mut redis,
        &[
            "ACL",
            "SETUSER",
            "bench",
            "on",
            ">secret",
            "~rq:[^q]*",
            "~rq:queues",
            "~rq:queue:bench:*",
            "resetchannels",
            "+@all",
            "-@admin",
        ],
    )
    .await;
    let url = format!("redis://bench:secret@127.0.0.1:{}", server.port());
    for rq_major in [1, 2] {
        let mut config = config(rq_major);
        config.site = format!("site{rq_major}");
        let now = UtcMicros::now();
        let options = memora_core::queue::WorkerOptions {
            bench_id: "bench".to_owned(),
            queues: vec!["srs_write".to_owned(), "default".to_owned()],
            sites: vec![config.site.clone()],
            rq_major,
        };
        let worker = memora_core::queue::QueueWorker::new(link(&url), &options, now).unwrap();
        worker.register(now).await.unwrap();
        for (n, custom_queues) in [vec!["srs_write".to_owned()], vec![]]
            .into_iter()
            .enumerate()
        {
            config.custom_queues = custom_queues;
            let producer = Producer::new(link(&url), &config);
            let ours = [
                submission("ann", &format!("a-{n}")),
                submission("ann", &format!("b-{n}")),
            ];
            for ours in &ours {
                producer.enqueue(ours).await.unwrap();
                producer.requeue(ours, now).await.unwrap();
            }
            let jobs = worker.take(10, now).await.unwrap();
            assert_eq!(jobs.len(), 2);
            worker.heartbeat(&jobs, now).await.unwrap();
            worker.put_back(&jobs[1]).await.unwrap();
            worker
                .finish(&jobs[0], &json!({"success": true}), now)
                .await
                .unwrap();
            let jobs = worker.take(10, now).await.unwrap();
            worker.fail(&jobs[0], "x", now).await.unwrap();
        }
        worker.maintain(now).await.unwrap();
        // The bench's user may hear no channel: said once, and that is the end of it.
        let (sender, _commands) = tokio::sync::mpsc::channel(1);
        let listening = worker.listen(sender);
        let patience = memora_tests::wait::PATIENCE;
        tokio::time::timeout(patience, listening).await.unwrap();
        worker.unregister(now).await.unwrap();
    }
}

#[tokio::test]
async fn rq_3_gets_ids_that_it_accepts() {
    let db = queue_db().await;
    let producer = producer(&db, &config(3));
    let ours = submission("ann@example.com", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let key = &ours.key;
    let id = persistence_job_id(SITE, 3, &key.player, &key.submission);
    assert_eq!(id, producer.job_id(&ours));
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    );
    let jobs = worker(&db.url(), 3)
        .take(10, UtcMicros::now())
        .await
        .unwrap();
    assert_eq!(jobs[0].id(), id);
    let mut redis = db.connection().await;
    let runs: Vec<String> = ask(&mut redis, &["KEYS", &format!("rq:execution:{id}:*")]).await;
    assert_eq!(runs.len(), 1);
}
