//! Shared set-up of the benches: sites with students, and the services called in-process.

pub mod crowd;
pub mod report;
pub mod tracker;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use memora_core::batch::Door;
use memora_core::services::fill::{self, Filled};
use memora_core::services::read::{ReviewRequest, ReviewSession, get_review_session};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::services::{Site, apply};
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::{Player, Season, UtcMicros};
use memora_tests::questions::{self, question_id};
use memora_tests::wire::{self, Requests};
use memora_tests::{Due, Student, TestSite};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// The season of every bench.
pub const SEASON: &str = "SEASON-2026";
/// Where answers are handed in.
pub const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
/// Questions that are due, and the page that is asked for.
pub const DUE: usize = 20;

/// The runtime of a bench.
///
/// # Panics
/// If threads cannot be started.
pub fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// A group with few samples: each waits for servers, and a whole run is to be short.
pub fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    group
}

/// A site with an active season, and the engine's view of it.
pub struct Stage {
    /// The servers.
    pub test: TestSite,
    /// The engine.
    pub site: Arc<Site>,
}

impl Stage {
    /// On servers of this process; `cached` is the season's `enable_redis`. Without it
    /// reads come from the table and no fill runs beside what is measured.
    pub async fn new(cached: bool) -> Self {
        let test = TestSite::new().await;
        let season = questions::Season {
            enable_redis: cached,
            ..questions::Season::default()
        };
        test.add_season_with(SEASON, season).await;
        let site = test.site().await;
        Self { test, site }
    }

    /// Tracked questions of a student, [`DUE`] of them due.
    pub async fn add_questions(&self, player: &Player, count: usize) {
        let due = Due::First(DUE);
        self.test
            .add_questions(player.as_str(), SEASON, count, due)
            .await;
    }

    /// Makes a student's schedule complete in the cache.
    ///
    /// # Panics
    /// If it cannot be.
    pub async fn warm(&self, player: &Player) {
        let filled = fill::run(&self.site, player, &season(), &[]).await;
        assert_eq!(filled.expect("a fill"), Filled::Yes);
    }

    /// What `get_review_session` answers.
    ///
    /// # Panics
    /// If it fails or answers anything but the due questions.
    pub async fn read(&self, player: &Player) -> ReviewSession {
        let request = ReviewRequest::from_args(&args(json!({"limit": DUE}))).expect("a request");
        let session = get_review_session(&self.site, player, &request, UtcMicros::now())
            .await
            .expect("a review session");
        assert_eq!(session.questions.len(), DUE);
        session
    }

    /// Submits answers to the student's first questions under a new id.
    ///
    /// # Panics
    /// If it fails or is degraded.
    pub async fn submit(&self, player: &Player, request: &SubmitRequest) {
        let now = UtcMicros::now();
        let answer = submit_review_session(&self.site, player, request, Door::Http, now)
            .await
            .expect("a submit");
        assert!(!answer.is_degraded);
    }

    /// Empties the journal.
    pub async fn forget_submits(&self) {
        self.test.exec("DELETE FROM memora_srs_journal", ()).await;
    }

    /// What waits in the journal, as a worker's sweep finds it.
    ///
    /// # Panics
    /// If the journal cannot be read.
    pub async fn waiting(&self) -> Vec<Work> {
        // The journal's clock is the database's: nothing is overdue in its own second.
        self.test
            .exec(
                "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE \
                 WHERE applied_at IS NULL",
                (),
            )
            .await;
        let keys = journal::overdue(&self.site.db, 30, 1000).await;
        let work = |key| Work {
            key,
            job_id: None,
            submission: None,
        };
        keys.expect("the journal").into_iter().map(work).collect()
    }

    /// Applies `work`.
    ///
    /// # Panics
    /// If a part of it fails.
    pub async fn apply(&self, work: &[Work]) {
        for outcome in apply::apply(&self.site, work, "bench").await {
            outcome.expect("applied");
        }
    }
}

/// The `n`th student.
pub fn player(n: usize) -> Player {
    Player::stored(format!("student-{n:06}@example.com"))
}

/// The season of every bench.
pub fn season() -> Season {
    Season::stored(SEASON)
}

/// Answers to a student's first `count` questions, under a submission id of their own.
///
/// # Panics
/// If there are none, or more than a submit may have.
pub fn answers(count: usize) -> SubmitRequest {
    answers_to(0..count)
}

/// Answers to these of a student's questions, under a submission id of their own.
///
/// # Panics
/// As [`answers`].
pub fn answers_to(questions: Range<usize>) -> SubmitRequest {
    let responses: Value = questions
        .map(|i| json!({"question_id": question_id(i), "quality": 4, "response_time_ms": 4000}))
        .collect();
    SubmitRequest::from_args(&args(json!({ "responses": responses })), None, None)
        .expect("a request")
}

fn args(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(args) => args,
        _ => Map::new(),
    }
}

/// Submits of different students, each with a submission id of its own.
#[derive(Debug, Clone)]
pub struct SubmitOf {
    /// Those who submit, in turn.
    pub students: Arc<Vec<Student>>,
    /// The site.
    pub host: String,
    /// Answers of a submit.
    pub answers: usize,
    /// Tracked questions of a student: answered in turn.
    pub questions: usize,
    /// Part of the submission ids: of one run.
    pub name: String,
    /// Connections that submit at once.
    pub connections: usize,
}

/// The requests of [`SubmitOf`].
pub fn submits(of: SubmitOf) -> Requests {
    Arc::new(move |connection, n| {
        let at = n as usize * of.connections + connection;
        let student = &of.students[at % of.students.len()];
        let turn = at / of.students.len() * of.answers;
        let responses: Vec<String> = (turn..turn + of.answers)
            .map(|i| {
                let id = question_id(i % of.questions);
                format!(r#"{{"question_id":"{id}","quality":4,"response_time_ms":4000}}"#)
            })
            .collect();
        let body = format!(
            r#"{{"responses":[{}],"submission_id":"{}-{at}"}}"#,
            responses.join(","),
            of.name
        );
        let headers = [
            format!("Host: {}", of.host),
            format!("Authorization: {}", student.token()),
            "Content-Type: application/json".to_owned(),
        ];
        wire::request("POST", SUBMIT, &headers, body.as_bytes())
    })
}

/// What a figure is worth: cores, and how many programs wanted them in the last minute.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores, load average {load}")
}
