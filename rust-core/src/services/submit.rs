//! `submit_review_session`: take a student's answers, durably.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Site;
use crate::batch::Door;
use crate::types::{Player, SubmissionId, UtcMicros};
use crate::{Error, Result};

/// What a student hands in.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmitRequest {
    /// The answers in order, 1 to 50.
    pub responses: Vec<Response>,
    /// Names the submit; the same id has one effect.
    pub submission: SubmissionId,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Which question.
    pub question_id: String,
    /// 0 to 5.
    pub quality: u8,
    /// Milliseconds, 0 to 24 h.
    pub response_time_ms: Option<u32>,
}

impl SubmitRequest {
    /// From a request's arguments: typed JSON values, or strings from a form (where
    /// `responses` is JSON text). The submission id is the argument `submission_id`, else
    /// `idempotency_key` (header `Idempotency-Key`), else `request_id` (header
    /// `X-Memora-Request-Id`), else made here.
    ///
    /// # Errors
    /// `InvalidInput`, naming index and field; one bad item refuses the whole batch.
    pub fn from_args(
        args: &Map<String, Value>,
        idempotency_key: Option<&str>,
        request_id: Option<&str>,
    ) -> Result<Self> {
        let _ = (args, idempotency_key, request_id);
        Err(Error::invalid("responses is missing"))
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmitAnswer {
    /// "success".
    pub status: &'static str,
    /// Answers taken.
    pub processed: u32,
    /// XP of the whole batch.
    pub xp_earned: u32,
    /// The RQ job that applies it.
    pub persistence_job_id: String,
    /// Present and true when the new schedule may not show yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_degraded: bool,
}

/// Takes `player`'s answers.
///
/// # Errors
/// `InvalidInput` when no season is active, `Conflict` for a used id with other content,
/// `Unavailable` (with the submission id) when it could not be made durable in time.
pub async fn submit_review_session(
    site: &Arc<Site>,
    player: &Player,
    request: &SubmitRequest,
    door: Door,
    now: UtcMicros,
) -> Result<SubmitAnswer> {
    let _ = (site, player, request, door, now);
    Err(Error::internal("not built yet"))
}
