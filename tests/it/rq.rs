//! RQ's wire format, against RQ itself: versions 1.15, 1.16, 2.6 and 3.0 run our
//! jobs, make jobs for us, and look at what our worker leaves behind.
//!
//! | file | asks |
//! |---|---|
//! | `formats` | are captured jobs of a real Frappe read right, and damaged ones refused? |
//! | `producer` | one job a submission, in the right queue, within Frappe's access rules? |
//! | `ours_on_rq` | does RQ's worker run our jobs? |
//! | `rqs_on_ours` | does our worker run RQ's jobs, and do RQ's tools agree? |
//! | `left_alone` | do other jobs keep their place? |

#![allow(clippy::unwrap_used, reason = "a panic is a test's clearest report")]

mod formats;
mod left_alone;
mod ours_on_rq;
mod producer;
mod rqs_on_ours;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use memora_core::batch::{Attempt, Submission};
use memora_core::config::{DbConfig, FrappeVersion, RqConfig, Secret, SiteConfig, SrsConfig};
use memora_core::queue::{PERSIST_METHOD, PersistCall, Producer, QueueWorker, WorkerOptions};
use memora_core::servers::redis::RedisLink;
use memora_core::types::UtcMicros;
use memora_tests::process;
use memora_tests::servers::{Redis, RedisDb, RedisOptions};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const SITE: &str = "srs.localhost";
const QUEUE: &str = "bench:srs_write";

/// Runs each of these tests with each version of RQ.
macro_rules! with_each_rq {
    ($($test:ident),+ $(,)?) => {
        with_each_rq!(@version rq_1_15, "1.15", 1; $($test),+);
        with_each_rq!(@version rq_1_16, "1.16", 1; $($test),+);
        with_each_rq!(@version rq_2_6, "2.6", 2; $($test),+);
        with_each_rq!(@version rq_3, "3", 3; $($test),+);
    };
    (@version $module:ident, $version:literal, $major:literal; $($test:ident),+) => {
        mod $module {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::rq::Rq::new($version, $major).await).await;
            })+
        }
    };
}
use with_each_rq;

/// One version of RQ, and a database of a queue Redis.
struct Rq {
    python: PathBuf,
    major: u32,
    db: RedisDb,
}

impl Rq {
    async fn new(version: &str, major: u32) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(format!("../target/venvs/rq-{version}/bin/python"));
        assert!(
            python.exists(),
            "{} is missing: run `make venvs`",
            python.display()
        );
        let db = queue_db().await;
        Self { python, major, db }
    }

    /// Runs one command of RQ's tools; `rq_tool.py` lists them.
    async fn tool(&self, command: &str, argument: Option<Value>) -> Value {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut python = Command::new(&self.python);
        python
            .arg(tests.join("rq_tool.py"))
            .args([&self.db.url(), QUEUE, command])
            .args(argument.map(|json| json.to_string()))
            .env("PYTHONPATH", tests.join("stand_in"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let name = format!("rq_tool.py {command}");
        let output = tokio::task::spawn_blocking(move || process::run(&name, python))
            .await
            .unwrap()
            .unwrap();
        serde_json::from_str(&output).unwrap_or_else(|e| panic!("{command}: {e}: {output}"))
    }

    async fn show(&self) -> Value {
        self.tool("show", None).await
    }

    fn producer(&self) -> Producer {
        Producer::new(link(&self.db.url()), &config(self.major))
    }

    fn worker(&self) -> QueueWorker {
        worker(&self.db.url(), self.major)
    }
}

/// A database of a Redis that these tests share.
async fn queue_db() -> RedisDb {
    static SERVER: OnceCell<Arc<Redis>> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { Arc::new(Redis::start(RedisOptions::default()).await.unwrap()) })
        .await
        .new_db()
}

pub(crate) fn link(url: &str) -> Arc<RedisLink> {
    Arc::new(RedisLink::new("redis_queue", url).unwrap())
}

fn worker(url: &str, rq_major: u32) -> QueueWorker {
    let options = WorkerOptions {
        bench_id: "bench".to_owned(),
        queues: vec!["srs_write".to_owned()],
        sites: vec![SITE.to_owned()],
        rq_major,
    };
    QueueWorker::new(link(url), &options, UtcMicros::now()).unwrap()
}

/// A site of a bench whose `workers` names our queue.
pub(crate) fn config(rq_major: u32) -> SiteConfig {
    let nowhere = Secret::new("redis://127.0.0.1:1".to_owned());
    SiteConfig {
        site: SITE.to_owned(),
        sites_path: PathBuf::from("sites"),
        db: DbConfig {
            name: "db".to_owned(),
            user: "db".to_owned(),
            password: Secret::new(String::new()),
            host: "127.0.0.1".to_owned(),
            port: 1,
            socket: None,
        },
        srs_redis: nowhere.clone(),
        redis_cache: nowhere.clone(),
        redis_queue: nowhere,
        bench_id: "bench".to_owned(),
        encryption_key: None,
        maintenance_mode: false,
        ignore_csrf: false,
        monitor: false,
        frappe: FrappeVersion::V15,
        rq_major,
        decline_all: None,
        custom_queues: vec!["srs_write".to_owned()],
        rq: RqConfig::default(),
        srs: SrsConfig::default(),
    }
}

/// The arguments of `persist_review_batch` for a batch of two answers.
fn call_kwargs(player: &str, submission: &str) -> Value {
    let item = |index: u32| {
        json!({
            "question_id": format!("Q-É\"{index}"),
            "quality": 4,
            "response_time_ms": 5000,
            "xp": 20,
            "new_stability": 2.5,
            "new_next_review_date": "2026-01-26T10:00:00",
            "due_us": 1_769_421_600_000_000_i64,
            "last_review_us": 1_768_816_800_123_456_i64,
            "review_version": 1_768_816_800_123_456_i64 + i64::from(index),
            "subject": "Mathematik 🎓",
            "topic": null,
            "before": null,
        })
    };
    json!({
        "responses": [item(0), item(1)],
        "user": player,
        "season": "SEASON-2026: it's {on}",
        "submission_id": submission,
        "attempt": "0123456789abcdef0123456789abcdef",
        "fingerprint": "ab".repeat(32),
        "v": 1,
        "door": "http",
        "at": 1_768_816_800_123_456_i64,
    })
}

/// What Frappe's `enqueue` makes of them.
fn job_kwargs(site: &str, call: &Value) -> Value {
    json!({
        "site": site,
        "user": call["user"],
        "method": PERSIST_METHOD,
        "event": null,
        "job_name": PERSIST_METHOD,
        "is_async": true,
        "kwargs": call,
    })
}

/// The submission that these arguments mean.
pub(crate) fn submission(player: &str, submission: &str) -> Submission {
    let call = call_kwargs(player, submission);
    let mut data = Vec::new();
    memora_core::pickle::write_call(
        &mut data,
        memora_core::queue::EXECUTE_JOB,
        &job_kwargs(SITE, &call),
    )
    .unwrap();
    PersistCall::from_data("id", &data, None)
        .unwrap()
        .submission()
        .unwrap()
}

fn with_attempt(mut submission: Submission, attempt: u8) -> Submission {
    submission.attempt = Attempt([attempt; 16]);
    submission
}

/// Asks Redis one thing.
async fn ask<T: redis::FromRedisValue>(redis: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut cmd = redis::Cmd::new();
    for word in words {
        cmd.arg(*word);
    }
    cmd.query_async(redis)
        .await
        .unwrap_or_else(|e| panic!("{words:?}: {e}"))
}
