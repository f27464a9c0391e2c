//! Do jobs that are not ours keep their place?

use std::collections::HashSet;
use std::time::Duration;

use memora_core::types::UtcMicros;
use memora_tests::count::RedisCounter;
use redis::AsyncCommands;
use serde_json::json;

use super::{
    QUEUE, Rq, SITE, ask, call_kwargs, config, job_kwargs, link, queue_db, submission,
    with_each_rq, worker,
};
use memora_core::queue::{PERSIST_METHOD, Producer};

const LIST: &str = "rq:queue:bench:srs_write";

with_each_rq!(jobs_of_others_keep_their_place);

async fn jobs_of_others_keep_their_place(rq: Rq) {
    let call = call_kwargs("ann@example.com", "s-1");
    let ours = job_kwargs(SITE, &call);
    let mut other_method = ours.clone();
    other_method["method"] = json!("memora.services.srs_persistence.something_else");
    other_method["kwargs"] = json!({});
    let mut old_items = ours.clone();
    old_items["kwargs"] = json!({"responses": [], "user": "ann", "season": "S"});
    let mut unreadable = ours.clone();
    unreadable["kwargs"]["attempt"] = json!(5);
    let mut newer = ours.clone();
    newer["kwargs"]["v"] = json!(3);
    let jobs = json!([
        {"job_id": "other-site", "kwargs": job_kwargs("other.localhost", &call)},
        {"job_id": "other-method", "kwargs": other_method},
        {"job_id": "other-function", "function": "time.sleep", "positional": [0], "kwargs": {}},
        {"job_id": "old-items", "kwargs": old_items},
        {"job_id": "ours-1", "kwargs": ours},
        {"job_id": "newer-format", "kwargs": newer},
        {"job_id": "unreadable", "kwargs": unreadable},
        {"job_id": "ours-2", "kwargs": {"user": "ann@example.com"},
         "positional": [SITE, PERSIST_METHOD, null, "x", call]},
    ]);
    rq.tool("enqueue", Some(jobs)).await;
    let worker = rq.worker();

    let taken = worker.take(10, UtcMicros::now()).await.unwrap();
    let ids: Vec<_> = taken.iter().map(|job| job.id()).collect();
    // The old implementation's items carry no version: we know what to do with them.
    assert_eq!(ids, ["old-items", "ours-1", "ours-2"]);
    assert!(worker.take(10, UtcMicros::now()).await.unwrap().is_empty());

    let shown = rq.show().await;
    let left = json!([
        "other-site",
        "other-method",
        "other-function",
        "newer-format",
        "unreadable"
    ]);
    assert_eq!(shown["queued"], left);
    for id in left.as_array().unwrap() {
        assert_eq!(
            shown["jobs"][id.as_str().unwrap()]["status"],
            "queued",
            "{id}"
        );
    }
    // And RQ's worker runs them.
    rq.tool("burst", None).await;
    assert_eq!(rq.show().await["finished"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_no_job_is_left_and_harms_nobody() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let not_text: &[u8] = b"\xff\xfe";
    let _: () = redis.rpush(LIST, not_text).await.unwrap();
    for id in [
        "gone", "string", "list", "empty", "huge", "", "rq:job:x", "{a}:b*",
    ] {
        let _: () = redis.rpush(LIST, id).await.unwrap();
    }
    let _: () = redis.set("rq:job:string", "x").await.unwrap();
    let _: () = redis.rpush("rq:job:list", "x").await.unwrap();
    let _: () = redis
        .hset("rq:job:empty", "status", "queued")
        .await
        .unwrap();
    let _: () = redis
        .hset("rq:job:huge", "data", vec![b'x'; 3 << 20])
        .await
        .unwrap();
    let hostile: &[u8] = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.";
    let _: () = redis.rpush(LIST, "hostile").await.unwrap();
    let _: () = redis
        .hset_multiple(
            "rq:job:hostile",
            &[("data", hostile), ("timeout", not_text)],
        )
        .await
        .unwrap();
    let ours = submission("ann@example.com", "s-1");
    let producer = Producer::new(link(&db.url()), &config(1));
    producer.enqueue(&ours).await.unwrap();

    let taken = worker(&db.url(), 1)
        .take(10, UtcMicros::now())
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].id(), producer.job_id(&ours));
    let left: usize = redis.llen(LIST).await.unwrap();
    assert_eq!(left, 10);
}

#[tokio::test]
async fn ours_are_found_behind_a_thousand_of_others_and_those_are_read_once() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let mut fill = redis::pipe();
    for n in 0..1000 {
        fill.hset(format!("rq:job:other-{n}"), "data", "x").ignore();
        fill.rpush(LIST, format!("other-{n}")).ignore();
    }
    let _: () = fill.query_async(&mut redis).await.unwrap();
    let producer = Producer::new(link(&db.url()), &config(1));
    for n in 0..50 {
        let ours = submission("ann@example.com", &format!("s-{n}"));
        producer.enqueue(&ours).await.unwrap();
    }
    let worker = worker(&db.url(), 1);
    let now = UtcMicros::now();

    let mut found = HashSet::new();
    let mut looks = 0;
    while found.len() < 50 {
        looks += 1;
        assert!(looks < 20, "found {} only", found.len());
        for job in worker.take(20, now).await.unwrap() {
            assert!(found.insert(job.id().to_owned()), "{} twice", job.id());
        }
    }
    let left: usize = redis.llen(LIST).await.unwrap();
    assert_eq!(left, 1000);

    let mut commands = RedisCounter::start(&db).await;
    for _ in 0..5 {
        assert!(worker.take(20, now).await.unwrap().is_empty());
    }
    let read = commands.take().await;
    assert!(
        !read.iter().any(|command| command.contains("EVALSHA")),
        "jobs of others were read again: {read:?}"
    );
    assert_eq!(worker.idle_delay(), Duration::from_millis(5 << 5));
    // After a minute they are looked at again: an id may have become another job.
    assert!(
        worker
            .take(20, now.plus_seconds(61))
            .await
            .unwrap()
            .is_empty()
    );
    let read = commands.take().await;
    assert!(read.iter().any(|command| command.contains("EVALSHA")));
}

#[tokio::test]
async fn of_many_workers_each_job_goes_to_one() {
    let db = queue_db().await;
    let producer = Producer::new(link(&db.url()), &config(2));
    for n in 0..60 {
        let ours = submission("ann@example.com", &format!("s-{n}"));
        producer.enqueue(&ours).await.unwrap();
    }
    let mut workers = Vec::new();
    for _ in 0..4 {
        let worker = worker(&db.url(), 2);
        workers.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let jobs = worker.take(7, UtcMicros::now()).await.unwrap();
                if jobs.is_empty() {
                    return ids;
                }
                let result = json!(null);
                let done = jobs.iter().map(|job| (job, &result));
                worker.finish_all(done, UtcMicros::now()).await.unwrap();
                ids.extend(jobs.iter().map(|job| job.id().to_owned()));
            }
        }));
    }
    let mut ids = Vec::new();
    for worker in workers {
        ids.extend(worker.await.unwrap());
    }
    let different: HashSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (60, 60));
    let mut redis = db.connection().await;
    let finished: usize = ask(&mut redis, &["ZCARD", &format!("rq:finished:{QUEUE}")]).await;
    assert_eq!(finished, 60);
}

#[tokio::test]
async fn a_job_that_others_wait_for_is_left_to_rq() {
    let db = queue_db().await;
    let producer = Producer::new(link(&db.url()), &config(1));
    let ours = submission("ann@example.com", "s-1");
    producer.enqueue(&ours).await.unwrap();
    let mut redis = db.connection().await;
    let key = format!("rq:job:{}:dependents", producer.job_id(&ours));
    let _: () = redis.sadd(&key, "next").await.unwrap();
    let worker = worker(&db.url(), 1);
    assert!(worker.take(10, UtcMicros::now()).await.unwrap().is_empty());
    let _: () = redis.del(&key).await.unwrap();
    assert_eq!(worker.take(10, UtcMicros::now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_failed_jobs_the_newest_thousand_stay() {
    let db = queue_db().await;
    let mut redis = db.connection().await;
    let failed = format!("rq:failed:{QUEUE}");
    let mut fill = redis::pipe();
    for n in 0..1010 {
        fill.zadd(&failed, format!("old-{n}"), n).ignore();
        fill.hset(format!("rq:job:old-{n}"), "status", "failed")
            .ignore();
    }
    let _: () = fill.query_async(&mut redis).await.unwrap();
    let producer = Producer::new(link(&db.url()), &config(1));
    producer
        .enqueue(&submission("ann@example.com", "s-1"))
        .await
        .unwrap();
    let worker = worker(&db.url(), 1);
    let jobs = worker.take(10, UtcMicros::now()).await.unwrap();

    worker.fail(&jobs[0], "x", UtcMicros::now()).await.unwrap();

    let kept: usize = redis.zcard(&failed).await.unwrap();
    assert_eq!(kept, 1000);
    let (oldest, next): (bool, bool) = (
        redis.exists("rq:job:old-10").await.unwrap(),
        redis.exists("rq:job:old-11").await.unwrap(),
    );
    assert_eq!((oldest, next), (false, true));
}
