//! What a client may ask: the arguments of both operations, checked before anything is
//! read or written.
//!
//! Arguments come typed from a JSON body, or as strings from a form or query; both spell
//! the same request. `null` means not given, unknown arguments are ignored as Frappe
//! ignores them, and nothing is clamped or corrected: what is outside its bounds is
//! refused with the name of the field, and one bad answer refuses the whole batch.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::scheduling::{MAX_QUALITY, MAX_RESPONSE_TIME_MS};
use crate::types::{SubmissionId, check_name};
use crate::{Error, Result};

/// Questions in one session when the client does not say.
const DEFAULT_LIMIT: u32 = 20;
/// Questions in one session at most.
pub const MAX_LIMIT: u32 = 50;
/// Answers in one submit at most.
pub const MAX_RESPONSES: usize = 50;

/// What a student asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRequest {
    /// Only questions of this subject.
    pub subject: Option<String>,
    /// How many questions at most, 1 to 50.
    pub limit: u32,
    /// Which season; the active one if not given.
    pub season: Option<String>,
}

impl ReviewRequest {
    /// From a request's arguments: typed JSON values, or strings from a form or query.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field.
    pub fn from_args(args: &Map<String, Value>) -> Result<Self> {
        Ok(Self {
            subject: optional_name(args, "subject")?,
            limit: limit(args)?,
            season: optional_name(args, "season")?,
        })
    }
}

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
        let submission = submission_id(args, idempotency_key, request_id)?;
        let responses = responses(args)?;
        Ok(Self {
            responses,
            submission,
        })
    }

    /// SHA-256 of the answers in a canonical form: equal for the same answers however
    /// they were spelled (number forms, order of fields, extra fields), different for
    /// any other. It is kept in the journal, so the form must never change.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.responses)
    }
}

/// See [`SubmitRequest::fingerprint`].
pub(super) fn fingerprint<'a>(responses: impl IntoIterator<Item = &'a Response>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for response in responses {
        // Lengths and fixed widths make the concatenation unambiguous.
        hash.update((response.question_id.len() as u64).to_be_bytes());
        hash.update(response.question_id.as_bytes());
        hash.update([response.quality]);
        match response.response_time_ms {
            Some(ms) => {
                hash.update([1]);
                hash.update(ms.to_be_bytes());
            }
            None => hash.update([0]),
        }
    }
    hash.finalize().into()
}

impl Response {
    /// The `index`-th of `responses`.
    fn parse(index: usize, item: &Value) -> Result<Self> {
        Self::from_fields(Fields::of(index, item)?)
    }

    pub(super) fn from_fields(fields: Fields<'_>) -> Result<Self> {
        Ok(Self {
            question_id: fields.question_id()?,
            quality: fields.quality()?,
            response_time_ms: fields.response_time_ms()?,
        })
    }
}

/// The fields of one of `responses`, each with its own rule. Errors name index and field.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    index: usize,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(index: usize, item: &'a Value) -> Result<Self> {
        match item {
            Value::Object(fields) => Ok(Self { index, fields }),
            _ => Err(Error::invalid(format!(
                "responses[{index}] must be an object with question_id and quality"
            ))),
        }
    }

    /// How errors name a field.
    pub(super) fn path(self, field: &str) -> String {
        format!("responses[{}].{field}", self.index)
    }

    /// A field, unless it is missing or null.
    pub(super) fn given(self, field: &str) -> Option<&'a Value> {
        given(self.fields, field)
    }

    pub(super) fn question_id(self) -> Result<String> {
        self.name("question_id")?
            .ok_or_else(|| Error::invalid(format!("{} must be a string", self.path("question_id"))))
    }

    /// A name, if there is one.
    pub(super) fn name(self, field: &str) -> Result<Option<String>> {
        match self.given(field) {
            None => Ok(None),
            Some(Value::String(name)) => {
                check_name(&self.path(field), name)?;
                Ok(Some(name.clone()))
            }
            Some(_) => Err(Error::invalid(format!(
                "{} must be a string",
                self.path(field)
            ))),
        }
    }

    pub(super) fn quality(self) -> Result<u8> {
        self.given("quality")
            .and_then(|v| integer_within(v, 0, MAX_QUALITY.into()))
            .and_then(|q| u8::try_from(q).ok())
            .ok_or_else(|| {
                let field = self.path("quality");
                Error::invalid(format!(
                    "{field} must be an integer between 0 and {MAX_QUALITY}"
                ))
            })
    }

    pub(super) fn response_time_ms(self) -> Result<Option<u32>> {
        let Some(value) = self.given("response_time_ms") else {
            return Ok(None);
        };
        integer_within(value, 0, MAX_RESPONSE_TIME_MS.into())
            .and_then(|ms| u32::try_from(ms).ok())
            .map(Some)
            .ok_or_else(|| {
                let field = self.path("response_time_ms");
                Error::invalid(format!(
                    "{field} must be an integer between 0 and {MAX_RESPONSE_TIME_MS}"
                ))
            })
    }
}

fn limit(args: &Map<String, Value>) -> Result<u32> {
    let value = match given(args, "limit") {
        None => return Ok(DEFAULT_LIMIT),
        // A form or query knows only strings.
        Some(Value::String(text)) => text
            .trim()
            .parse()
            .ok()
            .filter(|n| (1..=i64::from(MAX_LIMIT)).contains(n)),
        Some(value) => integer_within(value, 1, i64::from(MAX_LIMIT)),
    };
    value.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| {
        Error::invalid(format!(
            "limit must be an integer between 1 and {MAX_LIMIT}"
        ))
    })
}

fn optional_name(args: &Map<String, Value>, field: &str) -> Result<Option<String>> {
    match given(args, field) {
        None => Ok(None),
        Some(Value::String(name)) => {
            check_name(field, name)?;
            Ok(Some(name.clone()))
        }
        Some(_) => Err(Error::invalid(format!("{field} must be a string"))),
    }
}

fn submission_id(
    args: &Map<String, Value>,
    idempotency_key: Option<&str>,
    request_id: Option<&str>,
) -> Result<SubmissionId> {
    match given(args, "submission_id") {
        Some(Value::String(id)) => return SubmissionId::parse("submission_id", id),
        Some(_) => return Err(Error::invalid("submission_id must be a string")),
        None => {}
    }
    if let Some(id) = idempotency_key {
        SubmissionId::parse("Idempotency-Key", id)
    } else if let Some(id) = request_id {
        SubmissionId::parse("X-Memora-Request-Id", id)
    } else {
        Ok(SubmissionId::generate())
    }
}

fn responses(args: &Map<String, Value>) -> Result<Vec<Response>> {
    let parsed;
    let value = match given(args, "responses") {
        None => return Err(Error::invalid("responses is missing")),
        Some(Value::String(text)) => {
            parsed = serde_json::from_str(text).map_err(|e| {
                Error::invalid("responses must be a list of answers, as JSON").with_source(e)
            })?;
            &parsed
        }
        Some(value) => value,
    };
    let Value::Array(items) = value else {
        return Err(Error::invalid("responses must be a list of answers"));
    };
    if items.is_empty() || items.len() > MAX_RESPONSES {
        return Err(Error::invalid(format!(
            "responses must hold 1 to {MAX_RESPONSES} answers, not {}",
            items.len()
        )));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| Response::parse(index, item))
        .collect()
}

/// The argument, unless it is missing or null.
fn given<'a>(args: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    args.get(field).filter(|value| !value.is_null())
}

/// A JSON number that is an integer (`5` or `5.0`) within bounds. A boolean is none,
/// though Python counts with it.
fn integer_within(value: &Value, min: i64, max: i64) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    let integer = number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        // Compared before it is cast: a cast of a huge number would saturate.
        (float.fract() == 0.0 && float >= min as f64 && float <= max as f64).then_some(float as i64)
    })?;
    (min..=max).contains(&integer).then_some(integer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn submit(value: Value) -> Result<SubmitRequest> {
        SubmitRequest::from_args(&args(value), None, None)
    }

    fn answer(extra: Value) -> Value {
        let mut item = args(json!({"question_id": "Q:1", "quality": 4}));
        item.extend(args(extra));
        json!({"responses": [{"question_id": "Q:0", "quality": 3}, item]})
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: Result<T>, message: &str) {
        let error = result.expect_err(message);
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        assert_eq!(error.message(), message);
    }

    #[test]
    fn a_read_has_defaults() {
        for spelled in [
            json!({}),
            json!({"subject": null, "limit": null, "season": null}),
            json!({"unknown": [1, 2], "csrf_token": "x"}),
        ] {
            let request = ReviewRequest::from_args(&args(spelled)).unwrap();
            assert_eq!(
                (request.limit, request.subject, request.season),
                (20, None, None)
            );
        }
    }

    #[test]
    fn limit_is_an_integer_from_1_to_50_in_any_spelling() {
        for (spelled, limit) in [
            (json!(1), 1),
            (json!(50), 50),
            (json!(5.0), 5),
            (json!("5"), 5),
            (json!(" 50 "), 50),
        ] {
            let request = ReviewRequest::from_args(&args(json!({"limit": spelled}))).unwrap();
            assert_eq!(request.limit, limit, "{spelled}");
        }
        for bad in [
            json!(0),
            json!(-1),
            json!(51),
            json!(2.5),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(true),
            json!([5]),
            json!({"a": 5}),
            json!(""),
            json!("five"),
            json!("5; DROP"),
            json!("51"),
            json!("-3"),
            json!("2.5"),
            json!("NaN"),
            json!("99999999999999999999"),
        ] {
            refused(
                ReviewRequest::from_args(&args(json!({ "limit": bad }))),
                "limit must be an integer between 1 and 50",
            );
        }
    }

    #[test]
    fn names_are_printable_and_bounded() {
        for field in ["subject", "season"] {
            for good in [
                "Mathematics",
                "a:b*c?[d]{e}",
                "it's \"q\" \\",
                "🦀",
                &"é".repeat(140),
            ] {
                let request = ReviewRequest::from_args(&args(json!({ field: good }))).unwrap();
                assert_eq!(request.subject.or(request.season).as_deref(), Some(good));
            }
            let with = |value: Value| ReviewRequest::from_args(&args(json!({ field: value })));
            refused(with(json!("")), &format!("{field} must not be empty"));
            refused(
                with(json!("x".repeat(141))),
                &format!("{field} must have at most 140 characters"),
            );
            refused(
                with(json!("a\u{0}b")),
                &format!("{field} must consist of printable characters"),
            );
            refused(
                with(json!(" a")),
                &format!("{field} must not begin or end with a blank"),
            );
            for wrong in [json!(5), json!(false), json!(["a"]), json!({})] {
                refused(with(wrong), &format!("{field} must be a string"));
            }
        }
    }

    #[test]
    fn answers_come_typed_or_as_json_text() {
        let typed = json!([
            {"question_id": "Q:1", "quality": 4, "response_time_ms": 5000, "extra": {"a": 1}},
            {"question_id": "Q:1", "quality": 0.0, "response_time_ms": null},
            {"question_id": "Frage ä", "quality": 5, "response_time_ms": 86_400_000.0},
        ]);
        let text = json!(typed.to_string());
        for responses in [typed, text] {
            let request = submit(json!({ "responses": responses })).unwrap();
            let seen: Vec<_> = request
                .responses
                .iter()
                .map(|r| (r.question_id.as_str(), r.quality, r.response_time_ms))
                .collect();
            assert_eq!(
                seen,
                [
                    ("Q:1", 4, Some(5000)),
                    ("Q:1", 0, None),
                    ("Frage ä", 5, Some(86_400_000)),
                ]
            );
        }
    }

    #[test]
    fn a_batch_is_a_list_of_1_to_50() {
        refused(submit(json!({})), "responses is missing");
        refused(submit(json!({"responses": null})), "responses is missing");
        for wrong in [
            json!(5),
            json!({"question_id": "Q"}),
            json!("{}"),
            json!("5"),
        ] {
            refused(
                submit(json!({ "responses": wrong })),
                "responses must be a list of answers",
            );
        }
        for text in ["", "[", "nonsense", "[{\"quality\": NaN}]"] {
            refused(
                submit(json!({ "responses": text })),
                "responses must be a list of answers, as JSON",
            );
        }
        let item = json!({"question_id": "Q", "quality": 1});
        for (count, good) in [(0, false), (1, true), (50, true), (51, false)] {
            let result = submit(json!({"responses": vec![item.clone(); count]}));
            if good {
                assert_eq!(result.unwrap().responses.len(), count);
            } else {
                refused(
                    result,
                    &format!("responses must hold 1 to 50 answers, not {count}"),
                );
            }
        }
    }

    #[test]
    fn one_bad_answer_refuses_the_batch_and_is_named() {
        for wrong in [json!(5), json!("Q"), json!(null), json!(["Q", 4])] {
            refused(
                submit(json!({"responses": [{"question_id": "Q", "quality": 1}, wrong]})),
                "responses[1] must be an object with question_id and quality",
            );
        }
        for wrong in [
            json!(6),
            json!(-1),
            json!(2.5),
            json!(1e23),
            json!(1.797e308),
            json!(u64::MAX),
            json!(true),
            json!("4"),
            json!(null),
            json!([4]),
        ] {
            refused(
                submit(answer(json!({ "quality": wrong }))),
                "responses[1].quality must be an integer between 0 and 5",
            );
        }
        for wrong in [
            json!(-1),
            json!(86_400_001),
            json!(0.5),
            json!(true),
            json!("9"),
            json!([]),
        ] {
            refused(
                submit(answer(json!({ "response_time_ms": wrong }))),
                "responses[1].response_time_ms must be an integer between 0 and 86400000",
            );
        }
        for (wrong, message) in [
            (json!(7), "must be a string"),
            (json!(null), "must be a string"),
            (json!({}), "must be a string"),
            (json!(""), "must not be empty"),
            (json!("a\n"), "must consist of printable characters"),
            (json!("a "), "must not begin or end with a blank"),
            (json!("a".repeat(141)), "must have at most 140 characters"),
        ] {
            refused(
                submit(answer(json!({ "question_id": wrong }))),
                &format!("responses[1].question_id {message}"),
            );
        }
        refused(
            submit(json!({"responses": [{"quality": 4}]})),
            "responses[0].question_id must be a string",
        );
        refused(
            submit(json!({"responses": [{"question_id": "Q"}]})),
            "responses[0].quality must be an integer between 0 and 5",
        );
    }

    #[test]
    fn the_submission_id_is_the_most_deliberate_one() {
        let id = |body: Value, key, request| {
            let mut all = args(answer(json!({})));
            all.insert("submission_id".into(), body);
            SubmitRequest::from_args(&all, key, request).map(|r| r.submission.to_string())
        };
        let none = Value::Null;
        assert_eq!(id(json!("b"), Some("k"), Some("r")).unwrap(), "b");
        assert_eq!(id(none.clone(), Some("k"), Some("r")).unwrap(), "k");
        assert_eq!(id(none.clone(), None, Some("r")).unwrap(), "r");
        let made = id(none.clone(), None, None).unwrap();
        assert_eq!(made.len(), 26);
        assert_ne!(made, id(none.clone(), None, None).unwrap());

        let rule = "must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
        refused(
            id(json!(""), Some("k"), None),
            &format!("submission_id {rule}"),
        );
        refused(
            id(none.clone(), Some("a b"), Some("r")),
            &format!("Idempotency-Key {rule}"),
        );
        refused(
            id(none, None, Some("a:b")),
            &format!("X-Memora-Request-Id {rule}"),
        );
        refused(
            id(json!(5), Some("k"), None),
            "submission_id must be a string",
        );
    }

    #[test]
    fn the_fingerprint_sees_meaning_not_spelling() {
        let of = |responses: Value| {
            submit(json!({ "responses": responses }))
                .unwrap()
                .fingerprint()
        };
        let base = of(json!([{"question_id": "Q:1", "quality": 4, "response_time_ms": 5}]));
        assert_eq!(
            base,
            of(json!(
                "[{\"response_time_ms\":5.0,\"quality\":4.0,\"x\":1,\"question_id\":\"Q:1\"}]"
            ))
        );
        // Kept in journals: this value may not change.
        assert_eq!(
            hex::encode(base),
            "1de082ac8385245945293da4dd6a0a70cce22502b16ca797e6a4277b3023f24f"
        );
        for other in [
            json!([{"question_id": "Q:1", "quality": 4}]),
            json!([{"question_id": "Q:1", "quality": 3, "response_time_ms": 5}]),
            json!([{"question_id": "q:1", "quality": 4, "response_time_ms": 5}]),
            json!([{"question_id": "Q:1", "quality": 4, "response_time_ms": 0}]),
            json!([
                {"question_id": "Q:1", "quality": 4, "response_time_ms": 5},
                {"question_id": "Q:1", "quality": 4, "response_time_ms": 5}
            ]),
        ] {
            assert_ne!(base, of(other.clone()), "{other}");
        }
    }
}
