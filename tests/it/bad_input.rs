//! What a client may get wrong, or try: a clear error in Frappe's shape, nothing changed,
//! nothing lost, no other request harmed.
//!
//! Every test ends with [`Stage::unharmed`], which compares tables and queue with what
//! they were, and has another student served on the same process.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

mod answers;
mod hostile;
mod requests;

use std::time::Duration;

use http::StatusCode;
use memora_sidecar::server::Options;
use memora_tests::http::{Answer, Call};
use memora_tests::{Due, Http, Student, TestSite};
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::served::Served;

pub(crate) const READ: &str = "/api/method/memora.api.reviews.get_review_session";
pub(crate) const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";
pub(crate) const SEASON: &str = "SEASON-2026";
/// The first question of `add_questions`.
pub(crate) const QUESTION: &str = "STAGE-000:0";

/// A site with two students who have questions: one who misbehaves and one who does not.
pub(crate) struct Stage {
    pub(crate) site: TestSite,
    pub(crate) student: Student,
    bystander: Student,
    pub(crate) http: Http,
    pub(crate) served: Served,
    before: Contents,
}

/// All that a refused request must leave as it is.
#[derive(Debug, PartialEq)]
struct Contents {
    tracker: Vec<(String, String, f64, String)>,
    journal: u64,
    queue: u64,
}

impl Contents {
    async fn of(site: &TestSite) -> Self {
        let tracker = "SELECT player, question_id, CAST(stability AS DOUBLE), \
                       CAST(next_review_date AS CHAR) FROM `tabPlayer Memory Tracker` \
                       ORDER BY player, question_id";
        let journal = "SELECT COUNT(*) FROM memora_srs_journal";
        Self {
            tracker: site.query(tracker, ()).await,
            journal: site.query_one(journal, ()).await.unwrap(),
            queue: redis::cmd("DBSIZE")
                .query_async(&mut site.queue.connection().await)
                .await
                .unwrap(),
        }
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with_options(Options::default()).await
    }

    pub(crate) async fn with_options(options: Options) -> Self {
        let site = TestSite::new().await;
        site.add_season(SEASON).await;
        let student = site.add_student("student@lab.test").await;
        let bystander = site.add_student("bystander@lab.test").await;
        for player in [&student, &bystander] {
            site.add_questions(&player.name, SEASON, 5, Due::All).await;
        }
        let served = Served::start_with(&site, options).await;
        Self {
            http: served.http(&site),
            before: Contents::of(&site).await,
            served,
            site,
            student,
            bystander,
        }
    }

    pub(crate) fn read(&self) -> Call<'_> {
        self.http.get(READ).token(&self.student)
    }

    pub(crate) fn post(&self) -> Call<'_> {
        self.http.post(SUBMIT).token(&self.student)
    }

    async fn submit(&self, responses: Value) -> Answer {
        self.post()
            .json(&json!({ "responses": responses }))
            .send()
            .await
    }

    pub(crate) async fn due(&self, student: &Student) -> Vec<String> {
        let answer = self.http.get(READ).token(student).send().await;
        let message = answer.message();
        let questions = message["questions"].as_array().unwrap();
        let ids = questions
            .iter()
            .map(|q| q["question_id"].as_str().unwrap().to_owned());
        ids.collect()
    }

    /// What comes back for bytes as they stand, all of which the server takes.
    async fn raw_whole(&self, request: &[u8]) -> String {
        let answer = self.http.raw_whole(request, Duration::from_secs(5)).await;
        String::from_utf8_lossy(&answer.unwrap()).into_owned()
    }

    /// What is there now is what [`Stage::unharmed`] expects.
    pub(crate) async fn expect_what_is(&mut self) {
        self.before = Contents::of(&self.site).await;
    }

    /// Nothing changed, and others are served.
    pub(crate) async fn unharmed(&self) {
        assert_eq!(Contents::of(&self.site).await, self.before);
        assert_eq!(self.due(&self.bystander).await.len(), 5);
    }
}

/// An error in Frappe's shape that says `message`.
#[track_caller]
fn refused(answer: &Answer, status: u16, exc_type: &str, message: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["exc_type"], exc_type, "{body}");
    let messages: Vec<String> =
        serde_json::from_str(body["_server_messages"].as_str().unwrap()).unwrap();
    let first: Value = serde_json::from_str(&messages[0]).unwrap();
    assert_eq!(first["message"], message);
}

#[track_caller]
fn invalid(answer: &Answer, message: &str) {
    refused(answer, 417, "ValidationError", message);
}
