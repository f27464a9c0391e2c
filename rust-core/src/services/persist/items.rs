//! Answers without a version: raw ones, and such with a state that somebody else computed.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::services::Site;
use crate::services::answers::Ready;
use crate::services::request::{self, Fields, Response};
use crate::site_time::parse_wall;
use crate::store::links::{self, Linked};
use crate::types::Stability;
use crate::{Error, Result};

/// Answers in one batch at most. A submit has 50; code that calls may bring more.
const MAX_ITEMS: usize = 500;

/// One answer as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// What it leads to is for the scheduler to say.
    Raw(Response),
    /// With the state that it led to.
    Ready(Ready),
}

impl Given {
    pub(super) fn question_id(&self) -> &str {
        match self {
            Self::Raw(response) => &response.question_id,
            Self::Ready(ready) => &ready.question_id,
        }
    }
}

/// `responses` as a list, also if it came as JSON text.
pub(super) fn list(responses: Value) -> Result<Value> {
    match responses {
        Value::String(text) => serde_json::from_str(&text).map_err(|e| {
            Error::invalid("responses must be a list of answers, as JSON").with_source(e)
        }),
        responses => Ok(responses),
    }
}

/// Reads them all; one bad answer refuses the batch.
pub(super) fn parse(responses: &Value) -> Result<Vec<Given>> {
    let Value::Array(items) = responses else {
        return Err(Error::invalid("responses must be a list of answers"));
    };
    if items.is_empty() || items.len() > MAX_ITEMS {
        return Err(Error::invalid(format!(
            "responses must hold 1 to {MAX_ITEMS} answers, not {}",
            items.len()
        )));
    }
    let items = items.iter().enumerate();
    items.map(|(index, item)| one(index, item)).collect()
}

fn one(index: usize, item: &Value) -> Result<Given> {
    let fields = Fields::of(index, item)?;
    let (stability, due) = ("new_stability", "new_next_review_date");
    if fields.given(stability).is_none() && fields.given(due).is_none() {
        return Response::from_fields(fields).map(Given::Raw);
    }
    Ok(Given::Ready(Ready {
        question_id: fields.question_id()?,
        quality: match fields.given("quality") {
            None => None,
            Some(_) => Some(fields.quality()?),
        },
        response_time_ms: fields.response_time_ms()?,
        stability: fields
            .given(stability)
            .and_then(Value::as_f64)
            .filter(|number| (0.0..=Stability::MAX).contains(number))
            .map(Stability::from_f64)
            .ok_or_else(|| {
                let field = fields.path(stability);
                Error::invalid(format!("{field} must be a number between 0 and 4"))
            })?,
        due: fields
            .given(due)
            .and_then(Value::as_str)
            .and_then(parse_wall)
            .ok_or_else(|| {
                let field = fields.path(due);
                let form = "YYYY-MM-DD HH:MM:SS, with T or a blank between";
                Error::invalid(format!("{field} must be the site's wall time, {form}"))
            })?,
        subject: fields.name("subject")?,
        topic: fields.name("topic")?,
    }))
}

/// Tells batches apart that came under one id. Raw answers have the fingerprint that the
/// same answers have as a submit.
pub(super) fn fingerprint(given: &[Given]) -> [u8; 32] {
    let raw: Vec<&Response> = given
        .iter()
        .filter_map(|given| match given {
            Given::Raw(response) => Some(response),
            Given::Ready(_) => None,
        })
        .collect();
    if raw.len() == given.len() {
        return request::fingerprint(raw);
    }
    let mut hash = Sha256::new();
    for given in given {
        match given {
            Given::Raw(response) => hash.update(request::fingerprint([response])),
            Given::Ready(ready) => {
                let ready = (
                    &ready.question_id,
                    (ready.quality, ready.response_time_ms),
                    (
                        ready.stability.nanos(),
                        ready.due.and_utc().timestamp_micros(),
                    ),
                    (&ready.subject, &ready.topic),
                );
                // JSON of names and integers always can be written.
                hash.update(serde_json::to_vec(&ready).unwrap_or_default());
            }
        }
        hash.update([0]);
    }
    hash.finalize().into()
}

/// With subjects and topics in their stored spelling. One that does not exist is left
/// out: the answer counts all the same.
pub(super) async fn with_known_names(site: &Site, given: Vec<Given>) -> Result<Vec<Given>> {
    let named = |name: fn(&Ready) -> &Option<String>| -> Vec<String> {
        let names: HashSet<&String> = given
            .iter()
            .filter_map(|given| match given {
                Given::Ready(ready) => name(ready).as_ref(),
                Given::Raw(_) => None,
            })
            .collect();
        names.into_iter().cloned().collect()
    };
    let (subjects, topics) = (named(|r| &r.subject), named(|r| &r.topic));
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let subjects = links::stored(&site.db, Linked::Subject, &subjects).await?;
    let topics = links::stored(&site.db, Linked::Topic, &topics).await?;
    let known = given.into_iter().map(|given| match given {
        Given::Ready(ready) => Given::Ready(Ready {
            subject: ready.subject.and_then(|name| subjects.get(&name).cloned()),
            topic: ready.topic.and_then(|name| topics.get(&name).cloned()),
            ..ready
        }),
        raw @ Given::Raw(_) => raw,
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refused(item: &Value, message: &str) {
        let good = json!({"question_id": "Q", "quality": 1});
        let error = parse(&json!([good, item])).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        assert_eq!(error.message(), message, "{item}");
    }

    fn ready(change: (&str, Value)) -> Value {
        let mut item = json!({
            "question_id": "Q:1", "quality": 4, "response_time_ms": 5,
            "new_stability": 2.5, "new_next_review_date": "2026-01-26 10:00:00.5",
            "subject": "Maths", "topic": null,
        });
        item[change.0] = change.1;
        item
    }

    #[test]
    fn shapes_are_told_apart_item_by_item() {
        let raw = json!({"question_id": "Q:0", "quality": 5});
        let bare = json!({"question_id": "Q:2", "new_stability": 3,
                          "new_next_review_date": "2026-12-01T10:00:00"});
        let items = parse(&json!([raw, ready(("x", json!(1))), bare])).unwrap();
        assert!(matches!(&items[0], Given::Raw(r) if r.quality == 5));
        let Given::Ready(first) = &items[1] else {
            panic!("{:?}", items[1])
        };
        assert_eq!(first.due, parse_wall("2026-01-26T10:00:00.500000").unwrap());
        assert_eq!(first.subject.as_deref(), Some("Maths"));
        let Given::Ready(second) = &items[2] else {
            panic!("{:?}", items[2])
        };
        assert_eq!((second.quality, second.stability.to_f64()), (None, 3.0));
    }

    #[test]
    fn a_bad_item_is_named_with_its_field() {
        refused(
            &json!(5),
            "responses[1] must be an object with question_id and quality",
        );
        refused(
            &json!({"question_id": "Q"}),
            "responses[1].quality must be an integer between 0 and 5",
        );
        for (field, value, message) in [
            ("question_id", json!(null), "must be a string"),
            (
                "question_id",
                json!(" Q"),
                "must not begin or end with a blank",
            ),
            ("quality", json!(6), "must be an integer between 0 and 5"),
            (
                "response_time_ms",
                json!(-1),
                "must be an integer between 0 and 86400000",
            ),
            (
                "new_stability",
                json!(null),
                "must be a number between 0 and 4",
            ),
            (
                "new_stability",
                json!(4.01),
                "must be a number between 0 and 4",
            ),
            (
                "new_stability",
                json!("2"),
                "must be a number between 0 and 4",
            ),
            ("subject", json!(5), "must be a string"),
            (
                "topic",
                json!("x".repeat(141)),
                "must have at most 140 characters",
            ),
        ] {
            refused(
                &ready((field, value)),
                &format!("responses[1].{field} {message}"),
            );
        }
        for wrong in [
            json!(null),
            json!(5),
            json!("tomorrow"),
            json!("2026-01-26T10:00:00+01:00"),
        ] {
            refused(
                &ready(("new_next_review_date", wrong)),
                "responses[1].new_next_review_date must be the site's wall time, \
                 YYYY-MM-DD HH:MM:SS, with T or a blank between",
            );
        }
        let message = |responses: Value| parse(&responses).unwrap_err().message().to_owned();
        assert_eq!(
            message(json!([])),
            "responses must hold 1 to 500 answers, not 0"
        );
        let many = vec![json!({"question_id": "Q", "quality": 1}); 501];
        assert_eq!(
            message(json!(many)),
            "responses must hold 1 to 500 answers, not 501"
        );
        assert_eq!(message(json!({})), "responses must be a list of answers");
        assert!(list(json!("[")).is_err());
        assert_eq!(list(json!("[1]")).unwrap(), json!([1]));
    }

    #[test]
    fn the_fingerprint_sees_meaning_not_spelling() {
        let of = |responses: Value| fingerprint(&parse(&responses).unwrap());
        let base = of(json!([ready(("x", json!(1)))]));
        let spelled = ready(("new_next_review_date", json!("2026-01-26T10:00:00.500")));
        assert_eq!(base, of(json!([spelled])));
        for other in [
            ("question_id", json!("q:1")),
            ("quality", json!(null)),
            ("response_time_ms", json!(6)),
            ("new_stability", json!(2.6)),
            ("new_next_review_date", json!("2026-01-26 10:00:00")),
            ("subject", json!(null)),
            ("topic", json!("Maths")),
        ] {
            assert_ne!(base, of(json!([ready(other.clone())])), "{other:?}");
        }
        let raw = json!([{"question_id": "Q:1", "quality": 4, "response_time_ms": 5}]);
        assert_eq!(
            hex::encode(of(raw)),
            "1de082ac8385245945293da4dd6a0a70cce22502b16ca797e6a4277b3023f24f",
            "as a submit of the same answers"
        );
    }
}
