//! Does our worker run RQ's jobs, and do RQ's own tools agree with what it leaves behind?

use std::sync::Arc;

use memora_core::queue::{Command, Kept, QueueWorker};
use memora_core::types::UtcMicros;
use memora_tests::wait;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{QUEUE, Rq, SITE, ask, call_kwargs, job_kwargs, submission, with_each_rq};

with_each_rq!(
    we_run_rqs_job,
    we_fail_a_job_and_rq_queues_it_again,
    rq_gives_up_a_worker_that_died,
    a_job_given_up_and_then_finished_is_finished_once,
    an_operator_may_delete_a_job_that_we_have,
    a_job_put_back_is_next,
    a_heartbeat_keeps_jobs_and_brings_a_lost_registration_back,
    suspended_workers_take_nothing,
    another_of_ours_gives_up_a_worker_that_died,
    a_job_that_was_taken_and_never_begun_waits_again,
    jobs_of_others_are_not_looked_after,
    a_job_is_stopped_as_rq_stops_it,
    rqs_commands_are_heard,
    beside_rqs_worker_each_job_is_done_once,
);

/// Enqueues one job the way Frappe does, under this id.
async fn enqueue(rq: &Rq, id: &str) {
    let call = call_kwargs("ann@example.com", id);
    let job = json!([{"job_id": id, "kwargs": job_kwargs(SITE, &call)}]);
    rq.tool("enqueue", Some(job)).await;
}

fn now() -> UtcMicros {
    UtcMicros::now()
}

fn only_worker(shown: &Value) -> &Value {
    let workers = shown["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "{shown:#}");
    &workers[0]
}

/// That nothing of a job's runs is left, whose keys RQ's tools do not show.
async fn assert_no_runs(rq: &Rq) {
    let mut redis = rq.db.connection().await;
    for keys in ["rq:execution*", "rq:worker:*:executions"] {
        let runs: Vec<String> = ask(&mut redis, &["KEYS", keys]).await;
        assert_eq!(runs, Vec::<String>::new());
    }
}

async fn we_run_rqs_job(rq: Rq) {
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    assert_eq!(only_worker(&rq.show().await)["state"], "started");
    assert!(worker.take(10, now()).await.unwrap().is_empty());
    assert_eq!(only_worker(&rq.show().await)["state"], "idle");
    enqueue(&rq, "theirs-1").await;

    let jobs = worker.take(10, now()).await.unwrap();

    assert_eq!(jobs.len(), 1);
    assert_eq!(
        jobs[0].call.submission().unwrap(),
        submission("ann@example.com", "theirs-1")
    );
    assert!(jobs[0].call.enqueued_at.is_some());
    let shown = rq.show().await;
    assert_eq!(shown["queued"], json!([]));
    assert_eq!(shown["started"], json!(["theirs-1"]));
    let job = &shown["jobs"]["theirs-1"];
    assert_eq!(job["status"], "started");
    assert_eq!(job["worker_name"], worker.name());
    let runs = if rq.major >= 2 { json!(1) } else { Value::Null };
    assert_eq!(job["runs"], runs);
    assert_eq!(
        (&job["started"], &job["heartbeat"]),
        (&json!(true), &json!(true))
    );
    let known = only_worker(&shown);
    assert_eq!(known["name"], worker.name());
    assert_eq!(known["state"], "busy");
    assert_eq!(known["current_job"], "theirs-1");
    assert_eq!(known["queues"], json!([QUEUE]));
    assert_eq!(known["pid"], std::process::id());

    let result = json!({"success": true, "processed_count": 2});
    worker.finish(&jobs[0], &result, now()).await.unwrap();

    let shown = rq.show().await;
    assert_eq!(shown["started"], json!([]));
    assert_eq!(shown["finished"], json!(["theirs-1"]));
    let job = &shown["jobs"]["theirs-1"];
    assert_eq!(job["status"], "finished");
    assert_eq!(job["return_value"], result);
    assert_eq!(job["ended"], true);
    let known = only_worker(&shown);
    assert_eq!(known["current_job"], Value::Null);
    assert_eq!(
        (&known["successful"], &known["failed"]),
        (&json!(1), &json!(0))
    );
    assert!(known["working_time"].as_f64().unwrap() > 0.0);
    let mut redis = rq.db.connection().await;
    for key in ["rq:job:theirs-1", "rq:results:theirs-1"] {
        let ttl: i64 = ask(&mut redis, &["TTL", key]).await;
        assert!((1..=600).contains(&ttl), "{key}: {ttl}");
    }
    assert_no_runs(&rq).await;

    rq.tool("clean", None).await;
    assert_eq!(rq.show().await["finished"], json!([]));
    worker.unregister(now()).await.unwrap();
    assert_eq!(rq.show().await["workers"], json!([]));
}

async fn we_fail_a_job_and_rq_queues_it_again(rq: Rq) {
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    enqueue(&rq, "theirs-1").await;
    let jobs = worker.take(10, now()).await.unwrap();

    worker
        .fail(&jobs[0], "deadlock: grüße", now())
        .await
        .unwrap();

    let shown = rq.show().await;
    assert_eq!(shown["started"], json!([]));
    assert_eq!(shown["failed"], json!(["theirs-1"]));
    let job = &shown["jobs"]["theirs-1"];
    assert_eq!(job["status"], "failed");
    assert_eq!(job["exc_info"], "deadlock: grüße");
    let known = only_worker(&shown);
    assert_eq!(
        (&known["successful"], &known["failed"]),
        (&json!(0), &json!(1))
    );
    assert_no_runs(&rq).await;

    rq.tool("requeue", None).await;
    let jobs = worker.take(10, now()).await.unwrap();
    assert_eq!(jobs.len(), 1);
    // A failed job is kept for a week, a running one until it ends.
    let mut redis = rq.db.connection().await;
    let ttl: i64 = ask(&mut redis, &["TTL", "rq:job:theirs-1"]).await;
    assert_eq!(ttl, -1);
    worker.finish(&jobs[0], &json!(null), now()).await.unwrap();
    let shown = rq.show().await;
    assert_eq!(shown["failed"], json!([]));
    assert_eq!(shown["finished"], json!(["theirs-1"]));
    assert_eq!(shown["jobs"]["theirs-1"]["results"], 2);
}

async fn rq_gives_up_a_worker_that_died(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    assert_eq!(worker.take(10, now()).await.unwrap().len(), 1);
    drop(worker);

    rq.tool("clean", None).await;

    let shown = rq.show().await;
    assert_eq!(shown["started"], json!([]));
    assert_eq!(shown["failed"], json!(["theirs-1"]));
    let text = shown["jobs"]["theirs-1"]["exc_info"].as_str().unwrap();
    assert!(text.contains("AbandonedJobError"), "{text}");
}

/// Looks after the queue as at this moment, whoever did so before.
async fn maintain(rq: &Rq, worker: &QueueWorker, now: UtcMicros) -> Kept {
    let mut redis = rq.db.connection().await;
    let lock = format!("rq:memora:maintenance:{QUEUE}");
    let _: i64 = ask(&mut redis, &["DEL", &lock]).await;
    worker.maintain(now).await.unwrap()
}

async fn another_of_ours_gives_up_a_worker_that_died(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    enqueue(&rq, "theirs-2").await;
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    let jobs = worker.take(10, now()).await.unwrap();
    let other = rq.worker();
    assert_eq!(maintain(&rq, &other, now()).await, Kept::default());
    // One job's worker lives on.
    let soon = now().plus_seconds(80);
    worker.heartbeat(&jobs[1..], soon).await.unwrap();

    let kept = maintain(&rq, &other, now().plus_seconds(95)).await;

    assert_eq!((kept.abandoned, kept.restored), (1, 0));
    let shown = rq.show().await;
    assert_eq!(shown["started"], json!(["theirs-2"]));
    assert_eq!(shown["failed"], json!(["theirs-1"]));
    let job = &shown["jobs"]["theirs-1"];
    assert_eq!(job["status"], "failed");
    let text = job["exc_info"].as_str().unwrap();
    assert!(text.contains("AbandonedJobError"), "{text}");
    // One worker looks after a queue at a time.
    let mut redis = rq.db.connection().await;
    let ttl: i64 = ask(
        &mut redis,
        &["TTL", &format!("rq:memora:maintenance:{QUEUE}")],
    )
    .await;
    assert!((1..=60).contains(&ttl), "{ttl}");
    let later = now().plus_seconds(1000);
    assert_eq!(other.maintain(later).await.unwrap(), Kept::default());
    // As any failed job it may be queued again.
    rq.tool("requeue", None).await;
    let again = other.take(10, now()).await.unwrap();
    assert_eq!(again[0].id(), "theirs-1");
    other.finish(&again[0], &json!(null), now()).await.unwrap();
    worker.finish(&jobs[1], &json!(null), now()).await.unwrap();
    assert_no_runs(&rq).await;
}

async fn a_job_that_was_taken_and_never_begun_waits_again(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    enqueue(&rq, "theirs-2").await;
    let list = format!("rq:queue:{QUEUE}");
    let mut redis = rq.db.connection().await;
    // As RQ's worker takes it when it listens to one queue.
    let moved = [
        "LMOVE",
        &list,
        &format!("{list}:intermediate"),
        "LEFT",
        "RIGHT",
    ];
    let _: String = ask(&mut redis, &moved).await;
    let worker = rq.worker();
    assert_eq!(maintain(&rq, &worker, now()).await.restored, 0);
    assert_eq!(
        maintain(&rq, &worker, now().plus_seconds(50))
            .await
            .restored,
        0
    );

    assert_eq!(
        maintain(&rq, &worker, now().plus_seconds(70))
            .await
            .restored,
        1
    );

    assert_eq!(rq.show().await["queued"], json!(["theirs-1", "theirs-2"]));
    let left: u64 = ask(&mut redis, &["EXISTS", &format!("{list}:intermediate")]).await;
    assert_eq!(left, 0);
    rq.tool("burst", None).await;
    assert_eq!(rq.show().await["finished"].as_array().unwrap().len(), 2);
}

async fn jobs_of_others_are_not_looked_after(rq: Rq) {
    let others = json!([
        {"job_id": "other-1", "function": "time.sleep", "positional": [0], "kwargs": {}},
        {"job_id": "other-2", "function": "time.sleep", "positional": [0], "kwargs": {}},
    ]);
    rq.tool("enqueue", Some(others)).await;
    let mut redis = rq.db.connection().await;
    let (list, wip) = (format!("rq:queue:{QUEUE}"), format!("rq:wip:{QUEUE}"));
    let run = if rq.major >= 2 {
        "other-2:run"
    } else {
        "other-2"
    };
    let _: i64 = ask(&mut redis, &["LREM", &list, "1", "other-2"]).await;
    let _: i64 = ask(&mut redis, &["HSET", "rq:job:other-2", "status", "started"]).await;
    let _: i64 = ask(&mut redis, &["ZADD", &wip, "1", run]).await;
    // One that is gone is in nobody's way.
    let gone = if rq.major >= 2 { "gone:run" } else { "gone" };
    let _: i64 = ask(&mut redis, &["ZADD", &wip, "1", gone]).await;
    let moved = [
        "LMOVE",
        &list,
        &format!("{list}:intermediate"),
        "LEFT",
        "RIGHT",
    ];
    let _: String = ask(&mut redis, &moved).await;
    let worker = rq.worker();
    for later in [0, 100] {
        let kept = maintain(&rq, &worker, now().plus_seconds(later)).await;
        assert_eq!(kept, Kept::default());
    }
    let members: Vec<String> = ask(&mut redis, &["ZRANGE", &wip, "0", "-1"]).await;
    assert_eq!(members, [run]);
    let waiting: Vec<String> = ask(
        &mut redis,
        &["LRANGE", &format!("{list}:intermediate"), "0", "-1"],
    )
    .await;
    assert_eq!(waiting, ["other-1"]);
    rq.tool("clean", None).await;
    assert_eq!(rq.show().await["failed"], json!(["other-2"]));
}

async fn a_job_is_stopped_as_rq_stops_it(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    let jobs = worker.take(10, now()).await.unwrap();
    worker.stop(&jobs[0], now()).await.unwrap();
    let shown = rq.show().await;
    assert_eq!(
        (&shown["started"], &shown["failed"]),
        (&json!([]), &json!(["theirs-1"]))
    );
    let job = &shown["jobs"]["theirs-1"];
    assert_eq!(job["status"], "stopped");
    assert_eq!(
        job["exc_info"],
        "Job stopped by user, work-horse terminated."
    );
    assert_no_runs(&rq).await;
}

async fn beside_rqs_worker_each_job_is_done_once(rq: Rq) {
    let jobs: Vec<Value> = (0..40)
        .map(|n| {
            let id = format!("theirs-{n}");
            let call = call_kwargs("ann@example.com", &id);
            json!({"job_id": id, "kwargs": job_kwargs(SITE, &call)})
        })
        .collect();
    rq.tool("enqueue", Some(json!(jobs))).await;
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    let ours = async {
        let mut done = 0;
        loop {
            let jobs = worker.take(3, now()).await.unwrap();
            if jobs.is_empty() {
                return done;
            }
            done += jobs.len();
            let result = json!(null);
            let jobs = jobs.iter().map(|job| (job, &result));
            worker.finish_all(jobs, now()).await.unwrap();
            // Theirs forks for each job, and is to get some.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let (done, _) = tokio::join!(ours, rq.tool("burst", None));
    let mut redis = rq.db.connection().await;
    let theirs: usize = ask(&mut redis, &["LLEN", "test:calls"]).await;
    assert_eq!(done + theirs, 40);
    let shown = rq.show().await;
    assert_eq!(shown["finished"].as_array().unwrap().len(), 40);
    assert_eq!(
        (&shown["queued"], &shown["started"]),
        (&json!([]), &json!([]))
    );
    assert_no_runs(&rq).await;
}

async fn rqs_commands_are_heard(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    let worker = Arc::new(rq.worker());
    worker.register(now()).await.unwrap();
    assert_eq!(worker.take(10, now()).await.unwrap().len(), 1);
    let (sender, mut commands) = mpsc::channel(4);
    let listening = tokio::spawn({
        let worker = worker.clone();
        async move { worker.listen(sender).await }
    });
    let mut redis = rq.db.connection().await;
    wait::until("the worker listens", || {
        let (mut redis, channel) = (redis.clone(), format!("rq:pubsub:{}", worker.name()));
        async move {
            let (_, count): (String, i64) = ask(&mut redis, &["PUBSUB", "NUMSUB", &channel]).await;
            (count == 1).then_some(())
        }
    })
    .await;
    let _: i64 = ask(
        &mut redis,
        &[
            "PUBLISH",
            &format!("rq:pubsub:{}", worker.name()),
            "no json",
        ],
    )
    .await;
    rq.tool("stop", Some(json!("theirs-1"))).await;
    rq.tool("shutdown", Some(json!(worker.name()))).await;
    let stop = Command::StopJob("theirs-1".to_owned());
    assert_eq!(commands.recv().await, Some(stop));
    assert_eq!(commands.recv().await, Some(Command::Shutdown));
    drop(commands);
    tokio::time::timeout(wait::PATIENCE, listening)
        .await
        .unwrap()
        .unwrap();
}

async fn a_job_given_up_and_then_finished_is_finished_once(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    let jobs = worker.take(10, now()).await.unwrap();
    rq.tool("clean", None).await;

    worker.finish(&jobs[0], &json!(null), now()).await.unwrap();

    let shown = rq.show().await;
    assert_eq!(shown["failed"], json!([]));
    assert_eq!(shown["finished"], json!(["theirs-1"]));
}

async fn an_operator_may_delete_a_job_that_we_have(rq: Rq) {
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    for (id, failed) in [("theirs-1", false), ("theirs-2", true)] {
        enqueue(&rq, id).await;
        let jobs = worker.take(10, now()).await.unwrap();
        rq.tool("delete", Some(json!([id]))).await;
        worker.heartbeat(&jobs, now()).await.unwrap();
        if failed {
            worker.fail(&jobs[0], "late", now()).await.unwrap();
        } else {
            worker.finish(&jobs[0], &json!(null), now()).await.unwrap();
        }
        worker.put_back(&jobs[0]).await.unwrap();
    }
    let mut redis = rq.db.connection().await;
    let mut left: Vec<String> = ask(&mut redis, &["KEYS", "*theirs*"]).await;
    left.extend(ask::<Vec<String>>(&mut redis, &["KEYS", "rq:wip:*"]).await);
    left.extend(ask::<Vec<String>>(&mut redis, &["KEYS", "rq:f*"]).await);
    assert_eq!(left, Vec::<String>::new());
}

async fn a_job_put_back_is_next(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    enqueue(&rq, "theirs-2").await;
    let worker = rq.worker();
    let jobs = worker.take(1, now()).await.unwrap();
    assert_eq!(jobs[0].id(), "theirs-1");

    worker.put_back(&jobs[0]).await.unwrap();

    let shown = rq.show().await;
    assert_eq!(shown["queued"], json!(["theirs-1", "theirs-2"]));
    assert_eq!(shown["started"], json!([]));
    assert_eq!(shown["jobs"]["theirs-1"]["status"], "queued");
    assert_no_runs(&rq).await;
    rq.tool("burst", None).await;
    assert_eq!(rq.show().await["finished"].as_array().unwrap().len(), 2);
}

async fn a_heartbeat_keeps_jobs_and_brings_a_lost_registration_back(rq: Rq) {
    enqueue(&rq, "theirs-1").await;
    let worker = rq.worker();
    let at = now();
    worker.register(at).await.unwrap();
    let jobs = worker.take(10, at).await.unwrap();
    let mut redis = rq.db.connection().await;
    let score = "rq:wip:bench:srs_write";
    let first: Vec<(String, f64)> =
        ask(&mut redis, &["ZRANGE", score, "0", "-1", "WITHSCORES"]).await;
    let _: () = ask(
        &mut redis,
        &["DEL", &format!("rq:worker:{}", worker.name())],
    )
    .await;
    assert_eq!(rq.show().await["workers"], json!([]));

    worker
        .heartbeat(&jobs, at.plus_seconds(1000))
        .await
        .unwrap();

    let then: Vec<(String, f64)> =
        ask(&mut redis, &["ZRANGE", score, "0", "-1", "WITHSCORES"]).await;
    assert_eq!(first[0].0, then[0].0);
    assert!((999.0..=1001.0).contains(&(then[0].1 - first[0].1)));
    let shown = rq.show().await;
    assert_eq!(only_worker(&shown)["name"], worker.name());
    assert_eq!(shown["started"], json!(["theirs-1"]));
}

async fn suspended_workers_take_nothing(rq: Rq) {
    let worker = rq.worker();
    worker.register(now()).await.unwrap();
    enqueue(&rq, "theirs-1").await;
    rq.tool("suspend", None).await;
    assert!(worker.take(10, now()).await.unwrap().is_empty());
    assert_eq!(only_worker(&rq.show().await)["state"], "suspended");

    rq.tool("resume", None).await;
    assert_eq!(worker.take(10, now()).await.unwrap().len(), 1);
    assert_eq!(only_worker(&rq.show().await)["state"], "busy");
}
