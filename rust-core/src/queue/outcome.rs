//! What RQ knows of one job: whether it waits or runs, or what came of it.

use std::collections::HashMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;

use super::{PersistCall, keys};
use crate::Result;
use crate::servers::redis::RedisLink;

/// Bytes of an error's text that are shown.
const MAX_TEXT: u64 = 16 * 1024;

/// A job that RQ has not forgotten yet.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOutcome {
    /// RQ's word: `queued`, `started`, `finished`, `failed`, `stopped`, …
    pub status: String,
    /// What it calls, if that is `persist_review_batch`.
    pub call: Option<PersistCall>,
    /// The text of its last failure.
    pub error: Option<String>,
}

/// Looks a job up; `None` if RQ does not know it (any more).
///
/// # Errors
/// `Unavailable` if the queue Redis is away.
pub async fn job_outcome(redis: &RedisLink, id: &str) -> Result<Option<JobOutcome>> {
    let mut pipe = redis::pipe();
    pipe.cmd("HMGET")
        .arg(keys::job(id))
        .arg("status")
        .arg("data");
    pipe.cmd("XREVRANGE")
        .arg(keys::results(id))
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1);
    type Results = Vec<(String, HashMap<String, Vec<u8>>)>;
    let ((status, data), results): ((Option<String>, Option<Vec<u8>>), Results) =
        redis.pipeline(&pipe).await?;
    let Some(status) = status else {
        return Ok(None);
    };
    let text = results
        .first()
        .and_then(|(_, fields)| fields.get("exc_string"));
    Ok(Some(JobOutcome {
        status,
        call: data.and_then(|data| PersistCall::from_data(id, &data, None)),
        error: text.and_then(|text| readable(text)),
    }))
}

/// RQ keeps error texts as base64 of zlib.
fn readable(text: &[u8]) -> Option<String> {
    let packed = BASE64.decode(text).ok()?;
    let mut unpacked = Vec::new();
    let mut zlib = ZlibDecoder::new(&packed[..]).take(MAX_TEXT);
    zlib.read_to_end(&mut unpacked).ok()?;
    Some(String::from_utf8_lossy(&unpacked).into_owned())
}
