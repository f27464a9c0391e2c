//! `submit_review_session`: take a student's answers, durably.

use std::sync::Arc;

use serde::Serialize;

pub use super::request::{Response, SubmitRequest};

use super::Site;
use crate::batch::Door;
use crate::types::{Player, UtcMicros};
use crate::{Error, Result};

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
