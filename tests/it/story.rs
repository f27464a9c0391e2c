//! Verbs of the tests about reading and submitting.

use std::sync::Arc;

use memora_core::Result;
use memora_core::batch::{Door, SubmissionKey};
use memora_core::schedule_cache::Lookup;
use memora_core::services::read::{ReviewRequest, ReviewSession, get_review_session};
use memora_core::services::submit::{SubmitAnswer, SubmitRequest, submit_review_session};
use memora_core::services::{Site, apply, fill};
use memora_core::store::apply::Work;
use memora_core::types::{Player, Season, SubmissionId, UtcMicros};
use memora_tests::{Due, TestSite, wait};
use serde_json::{Value, json};

pub(crate) const SEASON: &str = "SEASON-2026";
pub(crate) const ANN: &str = "ann@example.com";

pub(crate) fn ann() -> Player {
    Player::stored(ANN)
}

pub(crate) fn season() -> Season {
    Season::stored(SEASON)
}

/// A site with one student of `questions` questions, `due` of them due.
pub(crate) async fn site_with(questions: usize, due: usize) -> TestSite {
    let test = TestSite::new().await;
    furnish(&test, questions, due).await;
    test
}

pub(crate) async fn furnish(test: &TestSite, questions: usize, due: usize) {
    test.add_season(SEASON).await;
    test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, questions, Due::First(due))
        .await;
}

/// Args of a request, as a door hands them over.
pub(crate) fn args(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(crate) async fn try_read(site: &Arc<Site>, request: Value) -> Result<ReviewSession> {
    let request = ReviewRequest::from_args(&args(request))?;
    get_review_session(site, &ann(), &request, UtcMicros::now()).await
}

pub(crate) async fn read_at(site: &Arc<Site>, now: UtcMicros) -> ReviewSession {
    let request = ReviewRequest::from_args(&args(json!({"limit": 50}))).expect("a request");
    get_review_session(site, &ann(), &request, now)
        .await
        .expect("a review session")
}

pub(crate) async fn read(site: &Arc<Site>) -> ReviewSession {
    try_read(site, json!({"limit": 50}))
        .await
        .expect("a review session")
}

pub(crate) fn ids(session: &ReviewSession) -> Vec<&str> {
    session
        .questions
        .iter()
        .map(|q| q.question_id.as_str())
        .collect()
}

/// Answers to these questions, all of quality 4.
pub(crate) fn answers(ids: &[&str]) -> Value {
    ids.iter()
        .map(|id| json!({"question_id": id, "quality": 4, "response_time_ms": 4000}))
        .collect()
}

pub(crate) async fn try_submit(
    site: &Arc<Site>,
    submission: &str,
    responses: Value,
) -> Result<SubmitAnswer> {
    let body = json!({"responses": responses, "submission_id": submission});
    let request = SubmitRequest::from_args(&args(body), None, None)?;
    submit_review_session(site, &ann(), &request, Door::Http, UtcMicros::now()).await
}

pub(crate) async fn submit(site: &Arc<Site>, submission: &str, ids: &[&str]) -> SubmitAnswer {
    try_submit(site, submission, answers(ids))
        .await
        .expect("a submit")
}

/// Makes the student's schedule complete in the cache.
pub(crate) async fn warm(site: &Site) {
    warm_with(site, &[]).await;
}

pub(crate) async fn warm_with(site: &Site, subjects: &[&str]) {
    let subjects: Vec<String> = subjects.iter().map(|s| (*s).to_owned()).collect();
    // A fill in the background, which an earlier read began, may hold the lease.
    wait::until("the schedule is filled", || async {
        let filled = fill::run(site, &ann(), &season(), &subjects).await;
        (filled.expect("a fill") == fill::Filled::Yes).then_some(())
    })
    .await;
}

/// Whether the cache can answer, for one subject if given.
pub(crate) async fn is_complete(site: &Site, subject: Option<&str>) -> bool {
    matches!(
        site.cache
            .due(&ann(), &season(), subject, UtcMicros::now(), 1)
            .await,
        Ok(Lookup::Complete(_))
    )
}

/// Drops the student's keys, as an eviction or a wipe would.
pub(crate) async fn forget(test: &TestSite) {
    let mut redis = test.cache.connection().await;
    let _: () = redis::cmd("FLUSHDB")
        .query_async(&mut redis)
        .await
        .expect("FLUSHDB");
}

/// Applies everything that waits in the journal, as a worker does.
pub(crate) async fn apply_all(test: &TestSite, site: &Site) -> usize {
    let work = waiting(test).await;
    for outcome in apply::apply(site, &work, "test").await {
        outcome.expect("applied");
    }
    work.len()
}

pub(crate) async fn waiting(test: &TestSite) -> Vec<Work> {
    // The journal's clock is the database's: nothing is overdue in its own second.
    test.exec(
        "UPDATE memora_srs_journal SET created_at = created_at - INTERVAL 1 MINUTE",
        (),
    )
    .await;
    let overdue = "SELECT player, submission_id FROM memora_srs_journal \
                   WHERE applied_at IS NULL AND state IN ('pending', 'queued', 'failed') \
                   AND (next_try_at IS NULL OR next_try_at <= UTC_TIMESTAMP(6)) \
                   ORDER BY next_try_at, created_at";
    let rows: Vec<(String, String)> = test.query(overdue, ()).await;
    rows.into_iter()
        .map(|(player, submission)| Work {
            key: SubmissionKey {
                player: Player::stored(player),
                submission: SubmissionId::parse("submission_id", &submission).expect("an id"),
            },
            job_id: None,
            submission: None,
        })
        .collect()
}

/// Stability and version of a row.
pub(crate) async fn row(test: &TestSite, question: &str) -> Option<(f64, i64)> {
    test.query_one(
        "SELECT CAST(stability AS DOUBLE), review_version FROM `tabPlayer Memory Tracker` \
         WHERE player = ? AND season = ? AND question_id = ?",
        (ANN, SEASON, question),
    )
    .await
}

pub(crate) async fn count(test: &TestSite, sql: &str) -> u64 {
    test.query_one(sql, ()).await.expect("a count")
}
