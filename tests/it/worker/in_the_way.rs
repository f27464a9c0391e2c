//! Workers that are killed, told to stop, or find rows held and servers away.

use super::*;

/// What `memora-srs worker` does about one job after another, with somebody in the way.
struct Stuck {
    test: TestSite,
    /// Holds the rows of the student until it ends.
    holder: mysql_async::Conn,
    ids: Vec<String>,
}

impl Stuck {
    /// Submits so many batches of one answer, and holds the row of the first.
    async fn new(batches: usize) -> Self {
        let (test, student) = stage().await;
        let sidecar = Sidecar::start(&test).await;
        let http = sidecar.http(&test);
        let mut ids = Vec::new();
        for n in 0..batches {
            let answers = answers(&[&question_id(n)]);
            let body = json!({"responses": answers, "submission_id": format!("s-{n}")});
            let answer = http.post(SUBMIT).token(&student).json(&body).send().await;
            let id = answer.message()["persistence_job_id"].clone();
            ids.push(id.as_str().expect("a job id").to_owned());
        }
        let mut holder = test.site().await.db.conn().await.unwrap();
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder
            .exec_drop(
                "SELECT 1 FROM `tabPlayer Memory Tracker` \
                 WHERE player = ? AND season = ? AND question_id = ? FOR UPDATE",
                (ANN, SEASON, question_id(0)),
            )
            .await
            .unwrap();
        Self { test, holder, ids }
    }

    async fn let_go(&mut self) {
        self.holder.query_drop("ROLLBACK").await.unwrap();
    }

    /// Until these jobs have these states.
    async fn until(&self, what: &str, states: &[&str]) {
        wait::until(what, || async {
            for (id, state) in self.ids.iter().zip(states) {
                if job(&self.test, id).await.0 != *state {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    async fn registry(&self, name: &str) -> Vec<String> {
        let mut redis = self.test.queue.connection().await;
        redis::cmd("ZRANGE")
            .arg(format!("rq:{name}:{}:srs_write", self.test.bench_id))
            .arg(0)
            .arg(-1)
            .query_async(&mut redis)
            .await
            .unwrap()
    }

    async fn workers(&self) -> Vec<String> {
        let mut redis = self.test.queue.connection().await;
        redis::cmd("SMEMBERS")
            .arg("rq:workers")
            .query_async(&mut redis)
            .await
            .unwrap()
    }

    async fn publish(&self, message: &Value) {
        let workers = self.workers().await;
        let name = workers[0].strip_prefix("rq:worker:").unwrap();
        let mut redis = self.test.queue.connection().await;
        wait::until("the worker hears", || {
            let mut redis = redis.clone();
            let (channel, message) = (format!("rq:pubsub:{name}"), message.to_string());
            async move {
                let heard: u64 = redis::cmd("PUBLISH")
                    .arg(channel)
                    .arg(message)
                    .query_async(&mut redis)
                    .await
                    .unwrap();
                (heard == 1).then_some(())
            }
        })
        .await;
        let _: () = redis::cmd("PING")
            .query_async::<String>(&mut redis)
            .await
            .map(|_| ())
            .unwrap();
    }
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_leaves_its_jobs_to_another() {
    let mut stuck = Stuck::new(3).await;
    let dying = Worker::start(&stuck.test);
    stuck.until("jobs are worked on", &["started"; 3]).await;
    dying.process.kill();
    stuck.let_go().await;
    assert_eq!(stuck.registry("wip").await.len(), 3);
    // The last heartbeat is 90 seconds ago, the submits half a minute.
    let mut redis = stuck.test.queue.connection().await;
    for member in stuck.registry("wip").await {
        let _: i64 = redis::cmd("ZADD")
            .arg(format!("rq:wip:{}:srs_write", stuck.test.bench_id))
            .arg(1)
            .arg(member)
            .query_async(&mut redis)
            .await
            .unwrap();
    }
    let lock = format!("rq:memora:maintenance:{}:srs_write", stuck.test.bench_id);
    let _: i64 = redis::cmd("DEL")
        .arg(lock)
        .query_async(&mut redis)
        .await
        .unwrap();
    stuck
        .test
        .exec(
            "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 2 MINUTE",
            (),
        )
        .await;
    let _other = Worker::start(&stuck.test);
    stuck
        .until("its jobs are where RQ puts them", &["failed"; 3])
        .await;
    assert_eq!(stuck.registry("wip").await, Vec::<String>::new());
    assert_eq!(stuck.registry("failed").await.len(), 3);
    applied(&stuck.test, 3).await;
    assert_eq!(
        count(&stuck.test, "SELECT COUNT(*) FROM memora_srs_audit").await,
        3
    );
}

#[tokio::test]
async fn a_worker_told_to_stop_finishes_what_it_has() {
    let mut stuck = Stuck::new(2).await;
    let worker = Worker::start(&stuck.test);
    stuck.until("jobs are worked on", &["started"; 2]).await;
    worker.process.signal(libc::SIGTERM);
    wait::until("it was told", || async {
        worker.process.log().contains("stopping").then_some(())
    })
    .await;
    assert!(worker.process.exit_status().is_none(), "it has jobs");
    stuck.let_go().await;
    let ended = wait::until("it ends", || async { worker.process.exit_status() }).await;
    assert!(ended.success(), "{}", worker.process.log());
    stuck.until("they are done", &["finished"; 2]).await;
    assert_eq!(stuck.workers().await, Vec::<String>::new());
}

#[tokio::test]
async fn told_twice_it_ends_at_once_and_its_jobs_wait_again() {
    let mut stuck = Stuck::new(2).await;
    let worker = Worker::start(&stuck.test);
    stuck.until("jobs are worked on", &["started"; 2]).await;
    worker.process.signal(libc::SIGTERM);
    // The same wish may come twice within a second; later it is another.
    let ended = wait::until("it ends", || async {
        worker.process.signal(libc::SIGTERM);
        worker.process.exit_status()
    })
    .await;
    assert!(ended.success(), "{}", worker.process.log());
    stuck.until("they wait", &["queued"; 2]).await;
    assert_eq!(stuck.registry("wip").await, Vec::<String>::new());
    assert_eq!(stuck.workers().await, Vec::<String>::new());
    stuck.let_go().await;
    let _other = Worker::start(&stuck.test);
    stuck.until("another does them", &["finished"; 2]).await;
}

#[tokio::test]
async fn a_job_that_is_stopped_stops_and_its_neighbours_go_on() {
    let mut stuck = Stuck::new(3).await;
    let worker = Worker::start(&stuck.test);
    stuck.until("jobs are worked on", &["started"; 3]).await;
    stuck
        .publish(&json!({"command": "stop-job", "job_id": stuck.ids[0]}))
        .await;
    // Only the first is in somebody's way.
    stuck
        .until("the others go on", &["stopped", "finished", "finished"])
        .await;
    assert_eq!(stuck.registry("failed").await, stuck.ids[..1]);
    let sql = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
    assert_eq!(count(&stuck.test, sql).await, 1, "the answers are not lost");
    stuck.let_go().await;
    stuck.publish(&json!({"command": "shutdown"})).await;
    let ended = wait::until("it ends", || async { worker.process.exit_status() }).await;
    assert!(ended.success(), "{}", worker.process.log());
}

#[tokio::test]
async fn a_burst_ends_when_no_job_waits() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    for n in 0..3 {
        let id = format!("s-{n}");
        http.post(SUBMIT)
            .token(&student)
            .json(&body(&id, 1))
            .send()
            .await;
    }
    let start = Start::default().args(&["--burst"]);
    let worker = Worker::start_with(&test, &start).expect("a worker");
    let ended = wait::until("it ends", || async { worker.process.exit_status() }).await;
    assert!(ended.success(), "{}", worker.process.log());
    assert_eq!(count(&test, LOG).await, 3);
}

#[tokio::test]
async fn a_bad_job_fails_none_of_its_neighbours() {
    let (test, student) = stage().await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let mut ids = Vec::new();
    for n in 0..8 {
        let question = if n == 3 {
            "BAD:1".to_owned()
        } else {
            question_id(n)
        };
        let body = json!({"responses": answers(&[&question]), "submission_id": format!("s-{n}")});
        let answer = http.post(SUBMIT).token(&student).json(&body).send().await;
        ids.push(
            answer.message()["persistence_job_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    test.exec(
        "ALTER TABLE `tabPlayer Memory Tracker` ADD CONSTRAINT refuse CHECK (question_id <> 'BAD:1')",
        (),
    )
    .await;
    let start = Start::default().args(&["--burst"]);
    let worker = Worker::start_with(&test, &start).expect("a worker");
    wait::until("it ends", || async { worker.process.exit_status() }).await;
    for (n, id) in ids.iter().enumerate() {
        let expected = if n == 3 { "failed" } else { "finished" };
        assert_eq!(job(&test, id).await.0, expected, "{n}");
    }
}

#[tokio::test]
async fn with_the_database_away_jobs_wait_in_the_queue() {
    let test = TestSite::builder().own_mariadb().build().await;
    test.add_season(SEASON).await;
    let student = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 30, memora_tests::Due::First(10))
        .await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let mut ids = Vec::new();
    for n in 0..3 {
        let id = format!("s-{n}");
        let answer = http
            .post(SUBMIT)
            .token(&student)
            .json(&body(&id, 1))
            .send()
            .await;
        ids.push(
            answer.message()["persistence_job_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let old = json!({"responses": [{"question_id": "NEW:1", "quality": 3}], "user": ANN, "season": SEASON});
    enqueue_as_before(&test, "old", &old).await;
    ids.push(format!("{}::old", test.name));
    test.mariadb.kill();
    let worker = Worker::start(&test);
    wait::until("the worker gave up for now", || async {
        worker
            .process
            .log()
            .contains("Jobs go back to the queue")
            .then_some(())
    })
    .await;
    let mut redis = test.queue.connection().await;
    let list = format!("rq:queue:{}:srs_write", test.bench_id);
    wait::until("all wait, in their order", || {
        let (mut redis, list, ids) = (redis.clone(), list.clone(), ids.clone());
        async move {
            let waiting: Vec<String> = redis::cmd("LRANGE")
                .arg(list)
                .arg(0)
                .arg(-1)
                .query_async(&mut redis)
                .await
                .unwrap();
            (waiting == ids).then_some(())
        }
    })
    .await;
    let _: () = redis::cmd("PING")
        .query_async::<String>(&mut redis)
        .await
        .map(|_| ())
        .unwrap();
    test.mariadb.start_again().await;
    for id in &ids {
        wait::until("the job is finished", || async {
            (job(&test, id).await.0 == "finished").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn queues_are_served_in_their_order() {
    let (test, student) = stage().await;
    let mut ids = Vec::new();
    for queue in ["later", "first"] {
        test.set_config("srs_queue", json!(queue));
        let sidecar = Sidecar::start(&test).await;
        let http = sidecar.http(&test);
        for n in 0..40 {
            let id = format!("{queue}-{n}");
            let answer = http
                .post(SUBMIT)
                .token(&student)
                .json(&body(&id, 1))
                .send()
                .await;
            ids.push(
                answer.message()["persistence_job_id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    let start = Start::default().args(&["--burst", "--queue", "first", "--queue", "later"]);
    let worker = Worker::start_with(&test, &start).expect("a worker");
    wait::until("it ends", || async { worker.process.exit_status() }).await;
    // All of the first queue were in the first transaction.
    let moments: Vec<(String, u64)> = test
        .query(
            "SELECT CAST(applied_at AS char), COUNT(*) FROM memora_srs_journal \
             WHERE submission_id LIKE 'first-%' GROUP BY 1",
            (),
        )
        .await;
    assert_eq!(moments.len(), 1, "{moments:?}");
    assert_eq!(moments[0].1, 40);
    let before = "SELECT COUNT(*) FROM memora_srs_journal WHERE submission_id LIKE 'later-%' \
                  AND applied_at < (SELECT MIN(applied_at) FROM memora_srs_journal \
                                    WHERE submission_id LIKE 'first-%')";
    assert_eq!(count(&test, before).await, 0);
}

#[tokio::test]
#[ignore = "waits for a heartbeat, half a minute"]
async fn rq_hears_that_jobs_are_worked_on() {
    let mut stuck = Stuck::new(1).await;
    let worker = Worker::start(&stuck.test);
    stuck.until("the job is worked on", &["started"]).await;
    let score = async || -> Vec<(String, f64)> {
        let mut redis = stuck.test.queue.connection().await;
        redis::cmd("ZRANGE")
            .arg(format!("rq:wip:{}:srs_write", stuck.test.bench_id))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .query_async(&mut redis)
            .await
            .unwrap()
    };
    let first = score().await;
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    wait::until("a heartbeat", || async {
        (score().await[0].1 >= first[0].1 + 25.0).then_some(())
    })
    .await;
    stuck.let_go().await;
    stuck.until("it is done", &["finished"]).await;
    drop(worker);
}
