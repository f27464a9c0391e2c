//! `persist_review_batch`: applies one batch of answers, the RQ job behind every submit,
//! for whoever runs it: the native worker, Python's workers, or code that calls it.

use std::sync::Arc;

use serde_json::Value;

use super::Site;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// What a job says besides the answers: its own id and time, and the rest of the wire
/// format (`rust-core/src/queue`). All of it may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobOptions {
    /// RQ's id of the job, if this runs as one.
    pub job_id: Option<String>,
    /// When the job was queued, if this runs as one.
    pub enqueued_at: Option<UtcMicros>,
    /// Names the submit; the same id of a student has one effect.
    pub submission_id: Option<String>,
    /// The attempt that queued it: 32 hex digits.
    pub attempt: Option<String>,
    /// SHA-256 of the request: 64 hex digits.
    pub fingerprint: Option<String>,
    /// Version of the items' format; without one the items are not complete.
    pub v: Option<u32>,
    /// Which door took it: `http`, `python` or `cli`.
    pub door: Option<String>,
    /// When it was taken, UTC microseconds since the epoch.
    pub at: Option<i64>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persisted {
    /// Answers of the batch, all of them in the table now.
    pub processed_count: u64,
}

/// Applies a batch of `user`'s answers, once, however often it is called. `worker` names
/// the caller in the audit.
///
/// # Errors
/// `InvalidInput` naming index and field of a bad answer, and nothing has changed;
/// `NotFound` for an unknown season, `Conflict` for a used submission id with other
/// answers, `Unavailable` after the last try if a server is away.
pub async fn persist_review_batch(
    site: &Arc<Site>,
    responses: Value,
    user: &str,
    season: &str,
    options: &JobOptions,
    worker: &str,
) -> Result<Persisted> {
    let _ = (site, responses, user, season, options, worker);
    Err(Error::internal("not built yet"))
}
