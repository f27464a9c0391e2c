//! One answered question, with or without the state that the answer led to.

use serde::{Deserialize, Serialize, Serializer};

use crate::types::{QuestionId, QuestionState, Stability, UtcMicros, Version};

/// One answered question with the state that the answer led to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Wire<String>")]
pub struct Item {
    /// Which question: in its stored spelling, or of a raw answer as it came.
    pub question_id: String,
    /// Quality of the answer, 0 to 5; `None` where somebody set a state without one, which
    /// is no review and not logged as one.
    pub quality: Option<u8>,
    /// Milliseconds to the answer.
    pub response_time_ms: Option<u32>,
    /// XP for this answer.
    pub xp: u32,
    /// The state before could not be had in time, so what the answer leads to is still to
    /// be computed. The fields of the state after it mean nothing then.
    pub raw: bool,
    /// Stability after the answer, 0 to 4.
    pub new_stability: f64,
    /// Next review, site wall time `YYYY-MM-DDTHH:MM:SS`, for readers in Python; the
    /// engine itself reads `due_us`.
    pub new_next_review_date: String,
    /// Next review, UTC microseconds.
    pub due_us: i64,
    /// Time of this review, UTC microseconds.
    pub last_review_us: i64,
    /// Orders this state among all of the question; of a raw answer the least that the
    /// state will have.
    pub review_version: i64,
    /// Game Subject, from the table.
    pub subject: Option<String>,
    /// Game Topic, from the table.
    pub topic: Option<String>,
    /// The state before the answer; `None` for a new question.
    pub before: Option<Before>,
}

/// The state that an answer was computed from, for the review log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Stability, 0 to 4.
    pub stability: f64,
    /// When it was due, UTC microseconds.
    pub due_us: i64,
    /// When it was last reviewed, UTC microseconds.
    #[serde(default)]
    pub last_review_us: Option<i64>,
    /// Its version.
    pub review_version: i64,
}

impl Item {
    /// The state that this answer led to; `None` while it is raw.
    pub fn state(&self) -> Option<QuestionState> {
        (!self.raw).then(|| QuestionState {
            question: QuestionId::stored(&self.question_id),
            stability: Stability::from_f64(self.new_stability),
            due: UtcMicros(self.due_us),
            last_review: Some(UtcMicros(self.last_review_us)),
            version: Version(self.review_version),
            subject: self.subject.clone(),
            topic: self.topic.clone(),
        })
    }
}

/// An item as it is written. Whether it has a state is said, not guessed from what is
/// missing: a state that lost a field must not pass for a raw answer.
///
/// `S` is a text: borrowed for writing.
#[derive(Serialize, Deserialize)]
struct Wire<S> {
    question_id: S,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_time_ms: Option<u32>,
    #[serde(default)]
    xp: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    raw: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_stability: Option<f64>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    new_next_review_date: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_us: Option<i64>,
    #[serde(default)]
    last_review_us: Option<i64>,
    #[serde(default)]
    review_version: Option<i64>,
    #[serde(default = "none")]
    subject: Option<S>,
    #[serde(default = "none")]
    topic: Option<S>,
    #[serde(default)]
    before: Option<Before>,
}

fn none<S>() -> Option<S> {
    None
}

impl TryFrom<Wire<String>> for Item {
    type Error = String;

    fn try_from(wire: Wire<String>) -> Result<Self, String> {
        let missing = |field: &str| format!("missing field `{field}`");
        if wire.raw && wire.quality.is_none() {
            return Err(missing("quality"));
        }
        let (stability, date, due) = if wire.raw {
            (0.0, String::new(), 0)
        } else {
            (
                wire.new_stability.ok_or_else(|| missing("new_stability"))?,
                wire.new_next_review_date
                    .ok_or_else(|| missing("new_next_review_date"))?,
                wire.due_us.ok_or_else(|| missing("due_us"))?,
            )
        };
        Ok(Self {
            question_id: wire.question_id,
            quality: wire.quality,
            response_time_ms: wire.response_time_ms,
            xp: wire.xp,
            raw: wire.raw,
            new_stability: stability,
            new_next_review_date: date,
            due_us: due,
            last_review_us: wire
                .last_review_us
                .ok_or_else(|| missing("last_review_us"))?,
            review_version: wire
                .review_version
                .ok_or_else(|| missing("review_version"))?,
            subject: wire.subject,
            topic: wire.topic,
            before: wire.before,
        })
    }
}

impl Serialize for Item {
    fn serialize<W: Serializer>(&self, writer: W) -> Result<W::Ok, W::Error> {
        let ready = !self.raw;
        let wire = Wire {
            question_id: self.question_id.as_str(),
            quality: self.quality,
            response_time_ms: self.response_time_ms,
            xp: self.xp,
            raw: self.raw,
            new_stability: ready.then_some(self.new_stability),
            new_next_review_date: ready.then_some(self.new_next_review_date.as_str()),
            due_us: ready.then_some(self.due_us),
            last_review_us: Some(self.last_review_us),
            review_version: Some(self.review_version),
            subject: self.subject.as_deref(),
            topic: self.topic.as_deref(),
            before: self.before,
        };
        wire.serialize(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ready() -> Value {
        json!({
            "question_id": "Q:1", "quality": 4, "response_time_ms": 5000, "xp": 20,
            "new_stability": 2.5, "new_next_review_date": "2026-01-26T10:00:00",
            "due_us": 7, "last_review_us": 5, "review_version": 6, "subject": "Maths",
            "topic": null, "before": null,
        })
    }

    fn raw() -> Value {
        json!({
            "question_id": "Q:1", "quality": 4, "xp": 20, "raw": true, "last_review_us": 5,
            "review_version": 5, "subject": null, "topic": null, "before": null,
        })
    }

    #[test]
    fn items_are_written_as_they_are_read() {
        for item in [ready(), raw()] {
            let read: Item = serde_json::from_value(item.clone()).unwrap();
            assert_eq!(read.raw, item.get("raw").is_some());
            assert_eq!(read.state().is_none(), read.raw);
            assert_eq!(serde_json::to_value(&read).unwrap(), item);
        }
    }

    #[test]
    fn a_state_that_lost_a_field_is_no_raw_answer() {
        for field in [
            "question_id",
            "new_stability",
            "new_next_review_date",
            "due_us",
            "last_review_us",
            "review_version",
        ] {
            let mut item = ready();
            item.as_object_mut().unwrap().shift_remove(field);
            let error = serde_json::from_value::<Item>(item).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        let mut item = raw();
        item.as_object_mut().unwrap().shift_remove("quality");
        assert!(serde_json::from_value::<Item>(item).is_err());
    }
}
