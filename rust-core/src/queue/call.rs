//! What a job found in the queue asks for, whoever put it there.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::job::{EXECUTE_JOB, PERSIST_METHOD, TRUNCATE_FAILED, parse_timestamp};
use super::job_id::submission_of_job;
use crate::batch::{Attempt, Batch, Door, FORMAT, Item, RAW_FORMAT, Submission, SubmissionKey};
use crate::pickle::{self, Limits};
use crate::types::{Player, Season, SubmissionId, UtcMicros, check_name};
use crate::{Error, Result};

/// Bytes of a job's data, unpacked, at most: a batch of 50 answers has some 30,000.
const MAX_DATA: usize = 1 << 20;
/// Many times what such a batch takes.
const LIMITS: Limits = Limits {
    input: MAX_DATA,
    values: 50_000,
    text: 2 << 20,
    depth: 32,
};
/// Parameters of `execute_job` in order, for calls with positional arguments.
const EXECUTE_JOB_PARAMETERS: [&str; 8] = [
    "site", "method", "event", "job_name", "kwargs", "user", "is_async", "retry",
];

/// What a job says besides student, season and answers: its own id and time, and the rest
/// of the wire format. All of it may be missing.
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

/// One call of `persist_review_batch`, as a job carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct PersistCall {
    /// RQ's id of the job; `None` if this is not run as a job.
    pub job_id: Option<String>,
    /// When the job was put into the queue; `None` if it does not say.
    pub enqueued_at: Option<UtcMicros>,
    /// Which site it belongs to.
    pub site: String,
    /// Whose answers.
    pub user: Player,
    /// Which season.
    pub season: Season,
    /// The submission, if the job names one; jobs of the old implementation do not.
    /// [`PersistCall::submission_id`] has an answer for all.
    pub submission_id: Option<SubmissionId>,
    /// The attempt that queued it, if the job names one.
    pub attempt: Option<Attempt>,
    /// Of the request, if the job names one.
    pub fingerprint: Option<[u8; 32]>,
    /// Version of the items' format; `None` for jobs of the old implementation.
    pub v: Option<u32>,
    /// Which door took it; `None` for jobs of the old implementation.
    pub door: Option<Door>,
    /// When it was taken, UTC microseconds.
    pub at: Option<i64>,
    /// The answers, as they came.
    pub responses: Value,
}

impl PersistCall {
    /// A call with these arguments, from whoever runs or makes it.
    ///
    /// # Errors
    /// `InvalidInput` naming the argument: what is there must be right. A call that names
    /// its submission in a way that cannot be read is not one without a submission.
    pub fn new(
        site: &str,
        user: &str,
        season: &str,
        responses: Value,
        options: JobOptions,
    ) -> Result<Self> {
        check_name("user", user)?;
        check_name("season", season)?;
        let submission_id = options.submission_id.as_deref();
        let attempt = options.attempt.as_deref();
        let fingerprint = options.fingerprint.as_deref();
        Ok(Self {
            job_id: options.job_id,
            enqueued_at: options.enqueued_at,
            site: site.to_owned(),
            user: Player::stored(user),
            season: Season::stored(season),
            submission_id: submission_id
                .map(|id| SubmissionId::parse("submission_id", id))
                .transpose()?,
            attempt: attempt
                .map(|hex| bytes("attempt", hex).map(Attempt))
                .transpose()?,
            fingerprint: fingerprint
                .map(|hex| bytes("fingerprint", hex))
                .transpose()?,
            v: options.v,
            door: options.door.map(door).transpose()?,
            at: options.at,
            responses,
        })
    }

    /// Reads a job's hash; `None` if it is not a call of ours, or one that only a worker
    /// in Python can run as it was meant: with callbacks, retries or repeats of its own.
    pub fn from_hash(job_id: &str, hash: &HashMap<String, Vec<u8>>) -> Option<Self> {
        let text = |field: &str| {
            let value = hash.get(field)?;
            std::str::from_utf8(value).ok().filter(|v| !v.is_empty())
        };
        let callbacks = [
            ("success_callback_name", None),
            ("stopped_callback_name", None),
            ("failure_callback_name", Some(TRUNCATE_FAILED)),
        ];
        if callbacks
            .into_iter()
            .any(|(field, allowed)| text(field).is_some_and(|name| Some(name) != allowed))
        {
            return None;
        }
        if [
            "retries_left",
            "repeats_left",
            "dependency_id",
            "dependency_ids",
        ]
        .into_iter()
        .any(|field| text(field).is_some())
        {
            return None;
        }
        let enqueued_at = text("enqueued_at").and_then(parse_timestamp);
        Self::from_data(job_id, hash.get("data")?, enqueued_at)
    }

    /// Reads a job's `data`; `None` if it is not a call of ours.
    pub fn from_data(job_id: &str, data: &[u8], enqueued_at: Option<UtcMicros>) -> Option<Self> {
        let call = pickle::read(&unpack(data)?, LIMITS).ok()?;
        let Value::Array(call) = Value::try_from(call).ok()? else {
            return None;
        };
        let Ok(
            [
                Value::String(function),
                Value::Null,
                Value::Array(args),
                Value::Object(kwargs),
            ],
        ) = <[Value; 4]>::try_from(call)
        else {
            return None;
        };
        if function != EXECUTE_JOB {
            return None;
        }
        let mut job = bind(args, kwargs)?;
        if job.get("method")?.as_str()? != PERSIST_METHOD {
            return None;
        }
        let site = job.get("site")?.as_str()?.to_owned();
        let Some(Value::Object(mut call)) = job.shift_remove("kwargs") else {
            return None;
        };
        let responses = call.shift_remove("responses")?;
        let text = |field: &str| optional(&call, field, Value::as_str);
        let options = JobOptions {
            job_id: Some(job_id.to_owned()),
            enqueued_at,
            submission_id: text("submission_id")?.map(str::to_owned),
            attempt: text("attempt")?.map(str::to_owned),
            fingerprint: text("fingerprint")?.map(str::to_owned),
            v: optional(&call, "v", |v| u32::try_from(v.as_u64()?).ok())?,
            door: text("door")?.map(str::to_owned),
            at: optional(&call, "at", Value::as_i64)?,
        };
        Self::new(&site, text("user")??, text("season")??, responses, options).ok()
    }

    /// The submission that this call belongs to: what it names, else derived from the
    /// job's id, so that a second delivery of the same job is the same submission, else
    /// a new one.
    pub fn submission_id(&self) -> SubmissionId {
        match (&self.submission_id, &self.job_id) {
            (Some(id), _) => id.clone(),
            (None, Some(job)) => submission_of_job(job),
            (None, None) => SubmissionId::generate(),
        }
    }

    /// Whether its items are of a format that this version knows: a complete batch of
    /// ours, or items without version, as the old implementation and direct callers have
    /// them. What a newer engine queued is for others to run.
    pub fn is_known_format(&self) -> bool {
        self.v.is_none_or(|v| (FORMAT..=RAW_FORMAT).contains(&v))
    }

    /// Whether it carries a complete batch of ours, which [`PersistCall::submission`]
    /// reads.
    pub fn is_complete(&self) -> bool {
        self.v.is_some()
    }

    /// The submission with its states, ready to apply.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field: only complete calls with items of format
    /// [`FORMAT`] or [`RAW_FORMAT`] are understood here.
    pub fn submission(&self) -> Result<Submission> {
        let missing =
            |field: &str| Error::invalid(format!("{field} is missing: the batch is not complete"));
        let v = self.v.ok_or_else(|| missing("v"))?;
        if !self.is_known_format() {
            return Err(Error::invalid(format!(
                "v is {v}, this version knows formats {FORMAT} to {RAW_FORMAT}"
            )));
        }
        let Value::Array(responses) = &self.responses else {
            return Err(Error::invalid("responses is not a list"));
        };
        if responses.is_empty() {
            return Err(Error::invalid("responses is empty"));
        }
        let items = responses
            .iter()
            .enumerate()
            .map(|(index, value)| item(index, value))
            .collect::<Result<Vec<Item>>>()?;
        Ok(Submission {
            key: SubmissionKey {
                player: self.user.clone(),
                submission: self
                    .submission_id
                    .clone()
                    .ok_or_else(|| missing("submission_id"))?,
            },
            season: self.season.clone(),
            attempt: self.attempt.ok_or_else(|| missing("attempt"))?,
            fingerprint: self.fingerprint.ok_or_else(|| missing("fingerprint"))?,
            batch: Batch::new(
                self.door.ok_or_else(|| missing("door"))?,
                self.at.ok_or_else(|| missing("at"))?,
                items,
            ),
        })
    }
}

/// One answer with its state.
fn item(index: usize, value: &Value) -> Result<Item> {
    let item =
        Item::deserialize(value).map_err(|e| Error::invalid(format!("responses[{index}]: {e}")))?;
    check_name(
        &format!("responses[{index}].question_id"),
        &item.question_id,
    )?;
    if item.quality.is_some_and(|quality| quality > 5) {
        return Err(Error::invalid(format!(
            "responses[{index}].quality must be 0 to 5"
        )));
    }
    if !(0.0..=4.0).contains(&item.new_stability) {
        return Err(Error::invalid(format!(
            "responses[{index}].new_stability must be 0 to 4"
        )));
    }
    Ok(item)
}

/// What RQ's `Job.restore` does: unpacked if it was packed. `None` if it is damaged or
/// too large.
fn unpack(data: &[u8]) -> Option<Vec<u8>> {
    // 8 is the one method of zlib; no pickle begins so.
    if data.first().is_none_or(|first| first & 0x0f != 8) {
        return Some(data.to_vec());
    }
    let mut unpacked = Vec::new();
    let mut zlib = ZlibDecoder::new(data).take(MAX_DATA as u64 + 1);
    zlib.read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= MAX_DATA).then_some(unpacked)
}

/// Keyword arguments with the positional ones under their names; `None` if there are too
/// many or one comes twice, as Python would refuse it.
fn bind(positional: Vec<Value>, mut keywords: Map<String, Value>) -> Option<Map<String, Value>> {
    if positional.len() > EXECUTE_JOB_PARAMETERS.len() {
        return None;
    }
    for (name, value) in EXECUTE_JOB_PARAMETERS.into_iter().zip(positional) {
        if keywords.insert(name.to_owned(), value).is_some() {
            return None;
        }
    }
    Some(keywords)
}

/// An argument that may be missing or null; the outer `None` for one of another type.
fn optional<'a, T>(
    call: &'a Map<String, Value>,
    field: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Option<Option<T>> {
    match call.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// So many bytes from hex.
fn bytes<const N: usize>(field: &str, text: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|e| {
        Error::invalid(format!("{field} must be {} hex digits", 2 * N)).with_source(e)
    })?;
    Ok(bytes)
}

fn door(name: String) -> Result<Door> {
    let known = Door::deserialize(Value::String(name));
    known.map_err(|e| Error::invalid("door must be http, python or cli").with_source(e))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use serde_json::json;

    use super::*;
    use crate::queue::job::encode_data;

    fn submission() -> Submission {
        let item = json!({
            "question_id": "Q-1:0", "quality": 4, "response_time_ms": 5000, "xp": 20,
            "new_stability": 2.5, "new_next_review_date": "2026-01-26T10:00:00",
            "due_us": 1_769_421_600_000_000_i64, "last_review_us": 1_768_816_800_000_000_i64,
            "review_version": 1_768_816_800_000_000_i64, "subject": "Mathematik", "topic": null,
            "before": {"stability": 1.5, "due_us": 1, "review_version": 0}
        });
        Submission {
            key: SubmissionKey {
                player: Player::stored("änn@example.com"),
                submission: SubmissionId::parse("id", "s-1").unwrap(),
            },
            season: Season::stored("SEASON-2026 'x' 🎓"),
            attempt: Attempt([7; 16]),
            fingerprint: [9; 32],
            batch: Batch::new(
                Door::Http,
                1_768_816_800_000_000,
                vec![serde_json::from_value(item).unwrap(); 3],
            ),
        }
    }

    fn call(data: &[u8]) -> Option<PersistCall> {
        PersistCall::from_data("site||srs_persist_0", data, None)
    }

    #[test]
    fn our_own_job_comes_back_whole() {
        let ready = submission();
        let mut raw = ready.batch.items.clone();
        raw[1] = serde_json::from_value(json!({
            "question_id": "q-2:0", "quality": 5, "xp": 25, "raw": true,
            "last_review_us": 5, "review_version": 6
        }))
        .unwrap();
        let raw = Submission {
            batch: Batch::new(Door::Http, 5, raw),
            ..ready.clone()
        };
        assert_eq!((ready.batch.v, raw.batch.v), (FORMAT, RAW_FORMAT));
        for submission in [ready, raw] {
            let data = encode_data("site", "site||srs_persist_0", &submission).unwrap();
            let call = call(&data).unwrap();
            assert!(call.is_known_format());
            assert_eq!(call.site, "site");
            assert_eq!(call.submission().unwrap(), submission);
        }
    }

    /// The data of a job with these arguments.
    fn data(function: &str, kwargs: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        pickle::write_call(&mut bytes, function, kwargs).unwrap();
        bytes
    }

    fn arguments() -> Value {
        json!({
            "site": "site", "user": "ann", "method": PERSIST_METHOD, "event": null,
            "job_name": "x", "is_async": true,
            "kwargs": {"responses": [], "user": "ann", "season": "S"}
        })
    }

    #[test]
    fn other_functions_and_methods_are_not_ours() {
        assert!(call(&data(EXECUTE_JOB, &arguments())).is_some());
        assert!(call(&data("os.system", &arguments())).is_none());
        for (field, value) in [
            ("method", json!("frappe.ping")),
            ("method", json!(null)),
            ("site", json!(1)),
            ("kwargs", json!({})),
            (
                "kwargs",
                json!({"responses": [], "user": "", "season": "S"}),
            ),
            (
                "kwargs",
                json!({"responses": [], "user": "a", "season": "x\n"}),
            ),
            (
                "kwargs",
                json!({"responses": [], "user": "a", "season": "S", "submission_id": 5}),
            ),
        ] {
            let mut arguments = arguments();
            arguments[field] = value.clone();
            assert!(
                call(&data(EXECUTE_JOB, &arguments)).is_none(),
                "{field}: {value}"
            );
        }
    }

    #[test]
    fn positional_arguments_are_bound_as_python_binds_them() {
        let mut bytes = Vec::new();
        let kwargs = json!({"responses": [1], "user": "ann", "season": "S"});
        let arguments = json!(["site", PERSIST_METHOD, null, "x", kwargs]);
        pickle::write(
            &mut bytes,
            &json!([EXECUTE_JOB, null, arguments, {"user": "ann"}]),
        )
        .unwrap();
        assert_eq!(call(&bytes).unwrap().responses, json!([1]));

        let mut bytes = Vec::new();
        pickle::write(
            &mut bytes,
            &json!([EXECUTE_JOB, null, arguments, {"site": "site"}]),
        )
        .unwrap();
        assert!(call(&bytes).is_none(), "site twice");
    }

    #[test]
    fn jobs_that_only_python_can_run_as_meant_are_not_ours() {
        let plain = HashMap::from([("data".to_owned(), data(EXECUTE_JOB, &arguments()))]);
        assert!(PersistCall::from_hash("id", &plain).is_some());
        for (field, value) in [
            ("success_callback_name", "app.done"),
            ("failure_callback_name", "app.failed"),
            ("retries_left", "2"),
            ("repeats_left", "2"),
            ("dependency_ids", "[\"other\"]"),
        ] {
            let mut hash = plain.clone();
            hash.insert(field.to_owned(), value.into());
            assert!(PersistCall::from_hash("id", &hash).is_none(), "{field}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_in_a_call_is_named() {
        let good = submission();
        let whole = encode_data("site", "id", &good).unwrap();
        let whole = call(&whole).unwrap();
        let message = |change: &dyn Fn(&mut PersistCall)| {
            let mut call = whole.clone();
            change(&mut call);
            call.submission().unwrap_err().message().to_owned()
        };
        assert!(message(&|c| c.v = None).starts_with("v is missing"));
        assert!(message(&|c| c.v = Some(3)).contains("formats 1 to 2"));
        assert!(message(&|c| c.attempt = None).starts_with("attempt"));
        assert!(message(&|c| c.submission_id = None).starts_with("submission_id"));
        assert!(message(&|c| c.responses = json!({})).contains("responses"));
        assert!(message(&|c| c.responses = json!([])).contains("empty"));
        let damage = |field: &'static str, value: Value| {
            message(&move |c| c.responses[2][field] = value.clone())
        };
        assert!(damage("quality", json!(6)).starts_with("responses[2].quality"));
        assert!(damage("new_stability", json!(4.1)).starts_with("responses[2].new_stability"));
        assert!(damage("question_id", json!(" x")).starts_with("responses[2].question_id"));
        assert!(damage("due_us", json!("soon")).starts_with("responses[2]: "));
    }

    #[test]
    fn a_decompression_bomb_is_not_ours() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&data(EXECUTE_JOB, &arguments())).unwrap();
        zlib.write_all(&vec![b'.'; 64 << 20]).unwrap();
        let bomb = zlib.finish().unwrap();
        assert!(bomb.len() < 200_000);
        assert!(call(&bomb).is_none());
    }

    #[test]
    fn a_job_cut_anywhere_is_not_ours_and_harms_nobody() {
        let whole = data(EXECUTE_JOB, &arguments());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&whole).unwrap();
        let packed = zlib.finish().unwrap();
        assert!(call(&packed).is_some());
        for end in 0..whole.len() {
            assert!(call(&whole[..end]).is_none(), "{end}");
        }
        for end in 0..packed.len() - 4 {
            assert!(call(&packed[..end]).is_none(), "{end}");
        }
    }
}
