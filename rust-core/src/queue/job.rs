//! A job's hash, as Frappe's `enqueue` and RQ write it.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{LongCall, has_executions};
use crate::batch::{Door, Item, Submission};
use crate::config::RqConfig;
use crate::pickle;
use crate::types::{Player, Season, UtcMicros};
use crate::{Error, Result};

/// The function that every job of Frappe names; it sets up the site and calls the method.
pub const EXECUTE_JOB: &str = "frappe.utils.background_jobs.execute_job";
/// The method that applies a batch.
pub const PERSIST_METHOD: &str = "memora.services.srs_persistence.persist_review_batch";
/// The method that asks apps for subject and topic of new questions.
pub const FILL_INFO_METHOD: &str = "memora.services.srs_persistence.fill_question_info";
/// The method that tells administrators of an outage.
pub const NOTICE_METHOD: &str = "memora.services.safe_mode_notices.tell";
/// The method that tells administrators that cache and table disagreed.
pub const DISCREPANCIES_METHOD: &str = "memora.services.srs_reconciliation.tell";
/// What Frappe calls when a job fails: keeps the registry of failed jobs short.
pub(super) const TRUNCATE_FAILED: &str = "frappe.utils.background_jobs.truncate_failed_registry";

/// Fields of a job's hash with their values.
pub(super) type Fields = Vec<(&'static str, Vec<u8>)>;

/// The hash of a new job that calls `method` with this data, without its queue: `origin`
/// is decided where the job is queued.
///
/// The fields are those that RQ of this major version writes itself, so that no tool
/// meets a job with a field missing.
pub(super) fn fields(
    site: &str,
    rq_major: u32,
    rq: &RqConfig,
    method: &str,
    data: Vec<u8>,
    created_at: UtcMicros,
    enqueued_at: UtcMicros,
) -> Fields {
    let mut fields: Fields = vec![
        ("created_at", timestamp(created_at).into()),
        ("data", data),
        ("success_callback_name", Vec::new()),
        ("failure_callback_name", TRUNCATE_FAILED.into()),
        ("stopped_callback_name", Vec::new()),
        ("started_at", Vec::new()),
        ("ended_at", Vec::new()),
        ("last_heartbeat", Vec::new()),
        ("worker_name", Vec::new()),
        ("description", description(site, method).into()),
        ("enqueued_at", timestamp(enqueued_at).into()),
        ("failure_callback_timeout", "60".into()),
        ("result_ttl", rq.result_ttl.to_string().into()),
        ("failure_ttl", rq.failure_ttl.to_string().into()),
        ("status", "queued".into()),
    ];
    if has_executions(rq_major) {
        fields.push(("group_id", Vec::new()));
    }
    fields
}

/// The job's `data`: `zlib(pickle((function, None, (), kwargs)))`.
///
/// The names of the inner kwargs are a wire format: they are the parameters of
/// `persist_review_batch`, and Frappe calls it with all of them.
///
/// # Errors
/// `Internal` if the job cannot be written; none is known.
pub fn encode_data(site: &str, job_id: &str, submission: &Submission) -> Result<Vec<u8>> {
    let batch = &submission.batch;
    let player = submission.key.player.as_str();
    let method_kwargs = PersistKwargs {
        responses: &batch.items,
        user: player,
        season: submission.season.as_str(),
        submission_id: submission.key.submission.as_str(),
        attempt: submission.attempt.to_hex(),
        fingerprint: hex::encode(submission.fingerprint),
        v: batch.v,
        door: batch.door,
        at: batch.at,
    };
    encode_call(site, player, PERSIST_METHOD, job_id, &method_kwargs)
}

/// The parameters of `persist_review_batch`.
#[derive(Serialize)]
struct PersistKwargs<'a> {
    responses: &'a [Item],
    user: &'a str,
    season: &'a str,
    submission_id: &'a str,
    attempt: String,
    fingerprint: String,
    v: u32,
    door: Door,
    at: i64,
}

/// The parameters of Frappe's `execute_job`.
#[derive(Serialize)]
struct ExecuteKwargs<'a, K> {
    site: &'a str,
    user: &'a str,
    method: &'a str,
    event: Option<&'a str>,
    job_name: &'a str,
    is_async: bool,
    kwargs: &'a K,
}

/// The `data` of the job that asks apps about `questions`.
pub(super) fn encode_info_call(
    site: &str,
    job_id: &str,
    player: &Player,
    season: &Season,
    questions: &[String],
) -> Result<Vec<u8>> {
    let kwargs = object([
        ("user", player.as_str().into()),
        ("season", season.as_str().into()),
        ("question_ids", questions.into()),
    ]);
    encode_call(site, "Administrator", FILL_INFO_METHOD, job_id, &kwargs)
}

/// The `data` of the job that tells administrators of an outage.
pub(super) fn encode_notice(
    site: &str,
    job_id: &str,
    event: &str,
    began_at: UtcMicros,
    ended_at: Option<UtcMicros>,
) -> Result<Vec<u8>> {
    let kwargs = object([
        ("event", event.into()),
        ("began_at", timestamp(began_at).into()),
        ("ended_at", ended_at.map(timestamp).into()),
    ]);
    encode_call(site, "Administrator", NOTICE_METHOD, job_id, &kwargs)
}

/// The `data` of the job that tells administrators what a reconciliation found.
pub(super) fn encode_discrepancies(site: &str, job_id: &str, report: &Value) -> Result<Vec<u8>> {
    let kwargs = object([("report", report.clone())]);
    encode_call(site, "Administrator", DISCREPANCIES_METHOD, job_id, &kwargs)
}

/// The `data` of a long call, as `frappe.enqueue` writes it.
pub(super) fn encode_long_call(site: &str, call: &LongCall<'_>) -> Result<Vec<u8>> {
    let user = call.user.as_str();
    encode_named_call(site, user, call.method, call.method, &call.kwargs)
}

/// The `data` of a call of `method`, run as `user`.
fn encode_call(
    site: &str,
    user: &str,
    method: &str,
    job_id: &str,
    method_kwargs: &impl Serialize,
) -> Result<Vec<u8>> {
    let job_name = &job_id[job_id.rfind("srs_").unwrap_or(0)..];
    encode_named_call(site, user, method, job_name, method_kwargs)
}

/// As [`encode_call`]; `job_name` is shown by Frappe's job list.
fn encode_named_call(
    site: &str,
    user: &str,
    method: &str,
    job_name: &str,
    method_kwargs: &impl Serialize,
) -> Result<Vec<u8>> {
    let kwargs = ExecuteKwargs {
        site,
        user,
        method,
        event: None,
        job_name,
        is_async: true,
        kwargs: method_kwargs,
    };
    let mut pickled = Vec::new();
    pickle::write_call(&mut pickled, EXECUTE_JOB, &kwargs)
        .map_err(|e| Error::internal("A job cannot be written").with_source(e))?;
    compress(&pickled)
}

thread_local! {
    /// Kept for the next job: making its tables anew takes several times as long as compressing
    /// a job. The fastest level: most of what repeats are the names of the fields, which any
    /// level finds.
    static ZLIB: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), true));
}

/// As RQ compresses what it stores.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    ZLIB.with_borrow_mut(|zlib| {
        zlib.reset();
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let done = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(done..).unwrap_or_default();
            match zlib.compress_vec(rest, &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return Ok(out),
                // There was no room for all of it.
                Ok(_) => out.reserve(bytes.len() / 4 + 64),
                Err(e) => return Err(Error::internal("A job cannot be compressed").with_source(e)),
            }
        }
    })
}

/// As RQ writes times: UTC with microseconds.
pub(super) fn timestamp(at: UtcMicros) -> String {
    chrono::DateTime::from_timestamp_micros(at.0)
        .unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string()
}

/// As [`timestamp`] writes it; `None` for anything else.
pub(super) fn parse_timestamp(text: &str) -> Option<UtcMicros> {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.fZ").ok()?;
    Some(UtcMicros(time.and_utc().timestamp_micros()))
}

/// The call as RQ's tools show it. Answers are left out: it is shown to operators.
fn description(site: &str, method: &str) -> String {
    format!("{EXECUTE_JOB}(method='{method}', site='{site}')")
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.into_iter().map(|(k, v)| (k.to_owned(), v));
    Value::Object(entries.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_compressed_one_after_the_other_comes_back() {
        // The second does not compress: there is less room for it at first than it takes.
        let mut noise = 1_u64;
        let noise = std::iter::from_fn(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            Some(noise.to_be_bytes()[0])
        });
        let texts = [vec![b'a'; 5_000], noise.take(300_000).collect(), Vec::new()];
        for text in texts {
            let packed = compress(&text).unwrap();
            let mut back = Vec::new();
            let mut zlib = flate2::read::ZlibDecoder::new(&packed[..]);
            zlib.read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn times_are_written_as_rq_does_and_come_back() {
        let at = UtcMicros(1_795_401_874_497_228);
        assert_eq!(timestamp(at), "2026-11-23T02:44:34.497228Z");
        assert_eq!(parse_timestamp("2026-11-23T02:44:34.497228Z"), Some(at));
        assert_eq!(timestamp(UtcMicros(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse_timestamp("yesterday"), None);
        assert_eq!(parse_timestamp(""), None);
    }
}
