//! Programs of their own: sidecar and worker, killed where it hurts.

use memora_core::store::partitions;
use memora_core::types::{Season, UtcMicros};
use memora_tests::programs::{self, Start};
use memora_tests::questions::question_id;
use memora_tests::{Http, Sidecar, Student, TestSite, Worker, wait};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::story::{ANN, SEASON, answers, count, furnish, submit};

mod in_the_way;
mod sites;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
const LOG: &str = "SELECT COUNT(*) FROM memora_srs_review_log";

async fn stage() -> (TestSite, Student) {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 30, memora_tests::Due::First(10))
        .await;
    (test, student)
}

fn body(submission: &str, n: usize) -> Value {
    let ids: Vec<String> = (0..n).map(question_id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    json!({"responses": answers(&ids), "submission_id": submission})
}

async fn total_due(http: &Http, student: &Student) -> Value {
    let answer = http.get(READ).token(student).send().await;
    answer.message()["total_due"].clone()
}

async fn applied(test: &TestSite, rows: u64) {
    wait::until("the reviews are applied", || async {
        (count(test, LOG).await == rows).then_some(())
    })
    .await;
}

/// Fields of a job's hash.
async fn job(test: &TestSite, id: &str) -> (String, String) {
    let mut redis = test.queue.connection().await;
    redis::cmd("HMGET")
        .arg(format!("rq:job:{id}"))
        .arg("status")
        .arg("ended_at")
        .query_async(&mut redis)
        .await
        .expect("the job's hash")
}

#[tokio::test]
async fn a_session_end_to_end() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    assert_eq!(total_due(&http, &student).await, 10);
    let answer = http
        .post(SUBMIT)
        .token(&student)
        .json(&body("s-1", 3))
        .send()
        .await;
    let answer = answer.message();
    assert_eq!(answer["processed"], 3);
    assert_eq!(total_due(&http, &student).await, 7);
    let id = answer["persistence_job_id"]
        .as_str()
        .expect("a job id")
        .to_owned();
    assert_eq!(job(&test, &id).await.0, "queued");
    let worker = Worker::start(&test);
    applied(&test, 3).await;
    wait::until("the job is finished", || async {
        (job(&test, &id).await.0 == "finished").then_some(())
    })
    .await;
    assert_eq!(total_due(&http, &student).await, 7);
    let stopped = worker
        .process
        .stop(wait::PATIENCE)
        .expect("the worker stops");
    assert!(stopped.success(), "{}", worker.process.log());
    let mut redis = test.queue.connection().await;
    let workers: u64 = redis::cmd("SCARD")
        .arg("rq:workers")
        .query_async(&mut redis)
        .await
        .expect("SCARD");
    assert_eq!(workers, 0, "it took itself off RQ's list");
}

#[tokio::test]
async fn a_worker_listens_where_the_sites_jobs_go() {
    let (test, student) = stage().await;
    let mut ids = Vec::new();
    for (n, queue) in [Value::Null, json!("reviews")].into_iter().enumerate() {
        test.set_config("srs_queue", queue);
        let sidecar = Sidecar::start(&test).await;
        let answer = sidecar
            .http(&test)
            .post(SUBMIT)
            .token(&student)
            .json(&body(&format!("s-{n}"), 1))
            .send()
            .await;
        let id = answer.message()["persistence_job_id"].clone();
        ids.push(id.as_str().expect("a job id").to_owned());
    }
    let mut redis = test.queue.connection().await;
    let mut origins = Vec::new();
    for id in &ids {
        let origin: String = redis::cmd("HGET")
            .arg(format!("rq:job:{id}"))
            .arg("origin")
            .query_async(&mut redis)
            .await
            .expect("the job's queue");
        origins.push(origin);
    }
    let named = |queue| format!("{}:{queue}", test.bench_id);
    assert_eq!(origins, [named("srs_write"), named("reviews")]);
    let _worker = Worker::start(&test);
    for id in &ids {
        wait::until("the job is finished", || async {
            (job(&test, id).await.0 == "finished").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_sidecar_that_dies_behind_the_journal_leaves_one_effect() {
    let (test, student) = stage().await;
    for (n, point) in [
        "after_journal",
        "after_queue",
        "before_cache",
        "after_cache",
    ]
    .iter()
    .enumerate()
    {
        let submission = format!("s-{n}");
        let dying = Sidecar::start_with(&test, &Start::default().failpoint(point, "exit"))
            .await
            .expect("a sidecar");
        let http = dying.http(&test);
        let lost = http
            .post(SUBMIT)
            .token(&student)
            .json(&body(&submission, 1))
            .try_send()
            .await;
        assert!(lost.is_err(), "{point}: it died without an answer");
        let other = Sidecar::start(&test).await;
        let http = other.http(&test);
        let answer = http
            .post(SUBMIT)
            .token(&student)
            .json(&body(&submission, 1))
            .send()
            .await;
        assert_eq!(answer.message()["processed"], 1, "{point}");
        assert_eq!(total_due(&http, &student).await, 9, "{point}");
    }
    let _worker = Worker::start(&test);
    applied(&test, 4).await;
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        4
    );
}

#[tokio::test]
async fn a_worker_that_dies_around_its_commit_applies_once() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    for (n, point) in ["apply_upserted", "apply_committed"].iter().enumerate() {
        let submission = format!("s-{n}");
        http.post(SUBMIT)
            .token(&student)
            .json(&body(&submission, 2))
            .send()
            .await;
        let dying = Worker::start_with(&test, &Start::default().failpoint(point, "exit"))
            .expect("a worker");
        wait::until("the worker died", || async {
            dying.process.exit_status().map(|_| ())
        })
        .await;
        // Its job is in the registry of started jobs, nobody's; the journal row is late.
        test.exec(
            "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE",
            (),
        )
        .await;
        let worker = Worker::start(&test);
        applied(&test, 2 * (n as u64 + 1)).await;
        worker
            .process
            .stop(wait::PATIENCE)
            .expect("the worker stops");
    }
    assert_eq!(
        count(&test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        2
    );
    assert_eq!(total_due(&http, &student).await, 8);
}

#[tokio::test]
async fn a_lost_queue_is_made_up_for_from_the_journal() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    http.post(SUBMIT)
        .token(&student)
        .json(&body("s-1", 2))
        .send()
        .await;
    let mut redis = test.queue.connection().await;
    let _: () = redis::cmd("FLUSHDB")
        .query_async(&mut redis)
        .await
        .expect("FLUSHDB");
    test.exec(
        "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE",
        (),
    )
    .await;
    let _worker = Worker::start(&test);
    applied(&test, 2).await;
}

#[tokio::test]
async fn a_job_for_a_season_that_does_not_exist_fails_and_makes_no_partition() {
    let (test, _) = stage().await;
    let site = test.site().await;
    let partitions = async || partitions::all(&site.db).await.expect("the partitions");
    let before = partitions().await;
    let mut ids = Vec::new();
    // Somebody's job, not a submit of ours: in format 1, for a season of its own.
    for season in ["SEASON-2099", SEASON] {
        let mut job = crate::rq::submission(ANN, &format!("of-{season}"));
        job.season = Season::stored(season);
        job.batch.at = UtcMicros::now().0;
        site.producer.enqueue(&job).await.expect("a job");
        ids.push(site.producer.job_id(&job));
    }
    let _worker = Worker::start(&test);
    wait::until("the good job is finished", || async {
        (job(&test, &ids[1]).await.0 == "finished").then_some(())
    })
    .await;
    wait::until("the bad job has failed", || async {
        (job(&test, &ids[0]).await.0 == "failed").then_some(())
    })
    .await;
    assert_eq!(partitions().await.len(), before.len());
    let sql = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService' \
               AND error LIKE '%Season SEASON-2099 does not exist%'";
    assert_eq!(count(&test, sql).await, 1);
    let failed = format!("rq:failed:{}:srs_write", test.bench_id);
    let mut redis = test.queue.connection().await;
    let failed: Vec<String> = redis::cmd("ZRANGE")
        .arg(failed)
        .arg(0)
        .arg(-1)
        .query_async(&mut redis)
        .await
        .expect("RQ's registry");
    assert_eq!(failed, ids[..1]);
}

#[tokio::test]
async fn a_job_that_cannot_be_applied_fails_and_tells_the_operator() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    // Bad data: no repetition helps.
    test.exec(
        "ALTER TABLE `tabPlayer Memory Tracker` ADD CONSTRAINT refuse CHECK (review_version = 0)",
        (),
    )
    .await;
    let answer = http
        .post(SUBMIT)
        .token(&student)
        .json(&body("s-1", 1))
        .send()
        .await;
    let id = answer.message()["persistence_job_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let _worker = Worker::start(&test);
    wait::until("the job has failed", || async {
        (job(&test, &id).await.0 == "failed").then_some(())
    })
    .await;
    let sql = "SELECT COUNT(*) FROM `tabError Log` WHERE method = 'SRSPersistenceService'";
    assert_eq!(count(&test, sql).await, 1);
    let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE state = 'failed' AND tries = 1 AND applied_at IS NULL";
    assert_eq!(count(&test, sql).await, 1);
    assert_eq!(total_due(&http, &student).await, 9, "the answer stands");
}

#[tokio::test]
async fn jobs_of_the_old_implementation_are_run_and_apps_asked_about_what_is_new() {
    let (test, student) = stage().await;
    test.set_config("srs_question_info", json!(1));
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    assert_eq!(total_due(&http, &student).await, 10);
    let ready = json!({
        "question_id": question_id(0), "quality": 4, "response_time_ms": 1774,
        "new_stability": 4, "new_next_review_date": "2036-12-07T02:44:34.495180",
        "subject": null, "topic": null,
    });
    let raw = json!({"question_id": "NEW:1", "quality": 3});
    for (id, responses) in [
        ("ready", json!([ready])),
        ("raw", json!([raw])),
        (
            "bad",
            json!([{"question_id": question_id(1), "quality": 6}]),
        ),
    ] {
        let call = json!({"responses": responses, "user": ANN, "season": SEASON});
        enqueue_as_before(&test, id, &call).await;
    }
    let _worker = Worker::start(&test);
    applied(&test, 2).await;
    for (id, status) in [
        ("ready", "finished"),
        ("raw", "finished"),
        ("bad", "failed"),
    ] {
        wait::until("the job is done", || async {
            (job(&test, &format!("{}::{id}", test.name)).await.0 == status).then_some(())
        })
        .await;
    }
    assert_eq!(total_due(&http, &student).await, 9);
    let sql = "SELECT COUNT(*) FROM memora_srs_journal \
               WHERE submission_id IN ('ready', 'raw') AND applied_at IS NOT NULL";
    assert_eq!(count(&test, sql).await, 2);
    wait::until("apps are asked", || async {
        let mut redis = test.queue.connection().await;
        let queue = format!("rq:queue:{}:default", test.bench_id);
        let asked: Vec<String> = redis::cmd("LRANGE")
            .arg(queue)
            .arg(0)
            .arg(-1)
            .query_async(&mut redis)
            .await
            .expect("LRANGE");
        (asked.len() == 1 && asked[0].contains("srs_info_")).then_some(())
    })
    .await;
}

/// Queues a call as the implementation before this one did.
pub(crate) async fn enqueue_as_before(test: &TestSite, id: &str, call: &Value) {
    let kwargs = json!({
        "site": test.name, "user": call["user"], "event": null, "job_name": "srs_persist_x",
        "method": memora_core::queue::PERSIST_METHOD, "is_async": true, "kwargs": call,
    });
    let mut data = Vec::new();
    memora_core::pickle::write_call(&mut data, memora_core::queue::EXECUTE_JOB, &kwargs).unwrap();
    let id = format!("{}::{id}", test.name);
    let queue = format!("{}:srs_write", test.bench_id);
    let enqueued_at = chrono::Utc::now()
        .format("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string();
    let mut redis = test.queue.connection().await;
    let () = redis::pipe()
        .sadd("rq:queues", format!("rq:queue:{queue}"))
        .ignore()
        .hset_multiple(
            format!("rq:job:{id}"),
            &[
                ("data", data.as_slice()),
                ("origin", queue.as_bytes()),
                ("status", b"queued"),
                ("ended_at", b""),
                ("enqueued_at", enqueued_at.as_bytes()),
                ("timeout", b"300"),
                ("result_ttl", b"600"),
            ],
        )
        .ignore()
        .rpush(format!("rq:queue:{queue}"), &id)
        .ignore()
        .query_async(&mut redis)
        .await
        .expect("queueing a job");
}

/// Jobs wait: whoever runs it from a script must not think that all is done.
#[tokio::test]
async fn in_burst_mode_a_database_that_is_away_is_said() {
    let test = TestSite::builder().own_mariadb().own_queue().build().await;
    furnish(&test, 5, 5).await;
    submit(&test.site().await, "s-1", &["Q-1"]).await;
    test.mariadb.kill();
    let burst = Start::default().args(&["--burst"]);
    let failed = programs::run(&test, &burst, "worker").await;
    let said = failed.unwrap_err().to_string();
    let waits = format!("jobs of {} wait", test.name);
    assert!(
        said.contains("exit code 4") && said.contains(&waits),
        "{said}"
    );
}
