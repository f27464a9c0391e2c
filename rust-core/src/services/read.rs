//! `get_review_session`: which questions is this student due to review?

use std::sync::Arc;

use serde::Serialize;

pub use super::request::ReviewRequest;

use super::Site;
use crate::types::{Player, UtcMicros};
use crate::{Error, Result};

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewSession {
    /// Due questions, most overdue first.
    pub questions: Vec<DueQuestion>,
    /// How many are due in all; may exceed the number of questions returned.
    pub total_due: u64,
    /// Whether this was answered without the cache, within limits.
    pub is_degraded: bool,
    /// The season, or "" when none is active.
    pub season: String,
}

/// One due question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DueQuestion {
    /// Its id.
    pub question_id: String,
    /// The part of the id before the last colon.
    pub stage_id: String,
    /// Memory stability, 0 to 4.
    pub stability: f64,
    /// Site wall time, `YYYY-MM-DDTHH:MM:SS[.ffffff]`.
    pub next_review_date: String,
    /// Game Subject.
    pub subject: Option<String>,
    /// Game Topic.
    pub topic: Option<String>,
}

/// Answers which questions `player` is due to review.
///
/// # Errors
/// `InvalidInput` for an archived season, `NotFound` for an unknown one, `Unavailable`
/// when neither cache nor table can answer.
pub async fn get_review_session(
    site: &Arc<Site>,
    player: &Player,
    request: &ReviewRequest,
    now: UtcMicros,
) -> Result<ReviewSession> {
    let _ = (site, player, request, now);
    Err(Error::internal("not built yet"))
}
