//! Pure scheduling: state, quality, response time and now in; new state out.
//!
//! No clock, no random numbers, no I/O: the same arguments give the same answer in every
//! process and on every machine, so a batch can carry the result and applying it again
//! changes nothing. Nothing in here fails: a value that a row should not hold (a stability
//! of 7 from an older scheduler, a review in the future) counts as the nearest one that
//! makes sense. What is refused is configuration, and that when it is read
//! ([`Parameters::from_json`]).
//!
//! `docs/SCHEDULING.md` has the formulas with their reasons and a table of worked
//! examples, which `examples.rs` checks against this code.
//!
//! A second scheduler is a second variant of [`Parameters`] and a second module beside
//! `sm2`; `schedule` and `from_json` are the two places that choose.

mod fields;
mod sm2;
mod xp;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod properties;

use serde_json::Value;

use crate::types::{Stability, UtcMicros};
use crate::{Error, Result};

pub use sm2::Sm2;
pub use xp::XpTable;

/// Highest quality of an answer.
pub const MAX_QUALITY: u8 = 5;

/// Lowest quality that counts as remembered; below it the answer is a lapse.
pub const PASSING_QUALITY: u8 = 3;

/// Longest time to an answer that a submit may carry, in milliseconds: a day.
pub const MAX_RESPONSE_TIME_MS: u32 = 86_400_000;

/// Which scheduler, with its parameters (`srs_scheduler`).
#[derive(Debug, Clone, PartialEq)]
pub enum Parameters {
    /// `"name": "sm2"`, the default.
    Sm2(Sm2),
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Sm2(Sm2::default())
    }
}

impl Parameters {
    /// Reads `srs_scheduler` from a site's configuration: an object whose `name` chooses
    /// the scheduler (`sm2` if absent) and whose other members are that scheduler's own.
    /// `null` is the default, as if the setting were absent.
    ///
    /// # Errors
    /// `Config`, naming the member, for an unknown scheduler, an unknown member, or a
    /// value out of range.
    pub fn from_json(value: &Value) -> Result<Self> {
        const SETTING: &str = "srs_scheduler";
        let members = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(members) => members,
            _ => {
                return Err(Error::config(format!(
                    r#"{SETTING} must be an object such as {{"name": "sm2"}}"#
                )));
            }
        };
        match members.get("name").map(Value::as_str) {
            None | Some(Some("sm2")) => Ok(Self::Sm2(Sm2::from_members(SETTING, members)?)),
            Some(_) => Err(Error::config(format!(
                r#"{SETTING}.name must be the name of a scheduler: "sm2""#
            ))),
        }
    }

    /// The name that chooses this scheduler.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sm2(_) => "sm2",
        }
    }
}

/// What a scheduler may know about a question before the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Before {
    /// Memory stability, 0 to 4; values outside count as the nearer end.
    pub stability: Stability,
    /// When it was due.
    pub due: UtcMicros,
    /// When it was last reviewed, if that is on record; later than now counts as now.
    pub last_review: Option<UtcMicros>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// 0 to 5; more counts as 5.
    pub quality: u8,
    /// Milliseconds from question to answer, if the client measured it.
    pub response_time_ms: Option<u32>,
}

/// What the answer makes of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Memory stability, 0 to 4, rounded to 9 places.
    pub stability: Stability,
    /// Next review, in whole seconds (rounded down), always later than the answer.
    pub due: UtcMicros,
}

/// Schedules the next review. `before` is `None` for a new question.
///
/// Nothing here knows of wall time: whoever stores the due time moves it out of a DST
/// fold first ([`crate::site_time::SiteZone::settle`]).
pub fn schedule(
    before: Option<Before>,
    answer: Answer,
    now: UtcMicros,
    parameters: &Parameters,
) -> After {
    let answer = Answer {
        quality: answer.quality.min(MAX_QUALITY),
        ..answer
    };
    match parameters {
        Parameters::Sm2(sm2) => sm2.schedule(before, answer, now),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_chooses_the_scheduler() {
        for default in [json!(null), json!({}), json!({"name": "sm2"})] {
            let parameters = Parameters::from_json(&default).unwrap();
            assert_eq!(parameters, Parameters::default(), "{default}");
            assert_eq!(parameters.name(), "sm2");
        }
        for unknown in [
            json!({"name": "fsrs"}),
            json!({"name": 2}),
            json!({"name": null}),
        ] {
            let error = Parameters::from_json(&unknown).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert_eq!(
                error.message(),
                r#"srs_scheduler.name must be the name of a scheduler: "sm2""#,
            );
        }
        for no_object in [json!("sm2"), json!([]), json!(1)] {
            let error = Parameters::from_json(&no_object).unwrap_err();
            assert!(
                error
                    .message()
                    .starts_with("srs_scheduler must be an object"),
                "{no_object}: {error}"
            );
        }
    }
}
