//! A job's hash, as Frappe's `enqueue` and RQ write it.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Map, Value};

use super::has_executions;
use crate::batch::Submission;
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
/// `Internal` if the batch holds a number that JSON has no form for.
pub fn encode_data(site: &str, job_id: &str, submission: &Submission) -> Result<Vec<u8>> {
    let unwritable = |e| Error::internal("A batch cannot be written as a job").with_source(e);
    let batch = &submission.batch;
    let responses = serde_json::to_value(&batch.items).map_err(unwritable)?;
    let door = serde_json::to_value(batch.door).map_err(unwritable)?;
    let player = submission.key.player.as_str();
    let method_kwargs = object([
        ("responses", responses),
        ("user", player.into()),
        ("season", submission.season.as_str().into()),
        ("submission_id", submission.key.submission.as_str().into()),
        ("attempt", submission.attempt.to_hex().into()),
        ("fingerprint", hex::encode(submission.fingerprint).into()),
        ("v", batch.v.into()),
        ("door", door),
        ("at", batch.at.into()),
    ]);
    encode_call(site, player, PERSIST_METHOD, job_id, method_kwargs)
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
    encode_call(site, "Administrator", FILL_INFO_METHOD, job_id, kwargs)
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
    encode_call(site, "Administrator", NOTICE_METHOD, job_id, kwargs)
}

/// The `data` of the job that tells administrators what a reconciliation found.
pub(super) fn encode_discrepancies(site: &str, job_id: &str, report: &Value) -> Result<Vec<u8>> {
    let kwargs = object([("report", report.clone())]);
    encode_call(site, "Administrator", DISCREPANCIES_METHOD, job_id, kwargs)
}

/// The `data` of a call of `method`, run as `user`.
fn encode_call(
    site: &str,
    user: &str,
    method: &str,
    job_id: &str,
    method_kwargs: Value,
) -> Result<Vec<u8>> {
    // Shown by Frappe's job list.
    let job_name = &job_id[job_id.rfind("srs_").unwrap_or(0)..];
    let kwargs = object([
        ("site", site.into()),
        ("user", user.into()),
        ("method", method.into()),
        ("event", Value::Null),
        ("job_name", job_name.into()),
        ("is_async", true.into()),
        ("kwargs", method_kwargs),
    ]);
    let mut pickled = Vec::new();
    pickle::write_call(&mut pickled, EXECUTE_JOB, &kwargs);
    compress(&pickled)
}

/// As RQ compresses what it stores. The fastest level: most of what repeats are the
/// names of the fields, which any level finds.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut zlib = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    zlib.write_all(bytes)
        .and_then(|()| zlib.finish())
        .map_err(|e| Error::internal("A job cannot be compressed").with_source(e))
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
    use super::*;

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
