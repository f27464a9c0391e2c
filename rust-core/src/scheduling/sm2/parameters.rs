//! What a site may change about the scheduler, with defaults and limits.
//!
//! The fields are private and every way in checks them, so a [`Sm2`] is always usable:
//! the formulas rely on intervals that grow and gains that do not shrink with quality.

use serde_json::{Map, Value};

use crate::scheduling::{MAX_RESPONSE_TIME_MS, fields};
use crate::{Error, Result};

/// Parameters of the scheduler `sm2`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sm2 {
    /// Seconds to the next review at stability 0, 1, 2, 3 and 4, ascending. The first is
    /// `relearn_minutes`, the others are `interval_days`.
    pub(super) interval_points: [f64; 5],
    /// Stability that an answer of quality 3, 4 and 5 adds, ascending.
    pub(super) gains: [f64; 3],
    /// Share of its stability that a question keeps after a lapse of quality 2.
    pub(super) lapse_factor: f64,
    /// Most stability that a remembered question is credited with for being overdue.
    pub(super) overdue_bonus: f64,
    /// Milliseconds below which an answer is fast.
    pub(super) fast_ms: u32,
    /// Milliseconds above which an answer is slow; not less than `fast_ms`.
    pub(super) slow_ms: u32,
    /// Most that a fast answer adds to its gain, as a share of it.
    pub(super) fast_bonus: f64,
    /// Most that a slow answer takes from its gain, as a share of it.
    pub(super) slow_penalty: f64,
}

const MINUTE: f64 = 60.0;
const DAY: f64 = 86_400.0;

/// The members that `srs_scheduler` may have besides `name`.
const MEMBERS: [&str; 9] = [
    "relearn_minutes",
    "interval_days",
    "gains",
    "lapse_factor",
    "overdue_bonus",
    "fast_ms",
    "slow_ms",
    "fast_bonus",
    "slow_penalty",
];

impl Default for Sm2 {
    fn default() -> Self {
        Self {
            interval_points: [10.0 * MINUTE, DAY, 3.0 * DAY, 7.0 * DAY, 14.0 * DAY],
            gains: [0.5, 1.0, 1.25],
            lapse_factor: 0.5,
            overdue_bonus: 0.5,
            fast_ms: 2_000,
            slow_ms: 6_000,
            fast_bonus: 0.2,
            slow_penalty: 0.2,
        }
    }
}

impl Sm2 {
    /// Reads the members of the site setting called `setting`; what is absent keeps its
    /// default.
    ///
    /// # Errors
    /// `Config`, naming the member.
    pub(in crate::scheduling) fn from_members(
        setting: &str,
        members: &Map<String, Value>,
    ) -> Result<Self> {
        let mut sm2 = Self::default();
        for (member, value) in members.iter().filter(|(member, _)| *member != "name") {
            sm2.set(&format!("{setting}.{member}"), member, value)?;
        }
        if sm2.fast_ms > sm2.slow_ms {
            return Err(Error::config(format!(
                "{setting}.fast_ms must not be greater than slow_ms"
            )));
        }
        // Two equal points would give one interval to a range of stabilities, and no
        // stability to an interval.
        if let Some(i) = (1..5).find(|&i| sm2.interval_points[i] <= sm2.interval_points[i - 1]) {
            return Err(Error::config(match i {
                1 => format!("{setting}.relearn_minutes must be less than interval_days[0]"),
                _ => format!("{setting}.interval_days must be strictly ascending"),
            }));
        }
        Ok(sm2)
    }

    fn set(&mut self, field: &str, member: &str, value: &Value) -> Result<()> {
        match member {
            "relearn_minutes" => {
                let minutes = fields::whole(field, value, 1..=720)?;
                self.interval_points[0] = f64::from(minutes) * MINUTE;
            }
            "interval_days" => {
                let days: [f64; 4] = fields::ascending(field, value, 0.5..=365.0)?;
                for (point, days) in self.interval_points[1..].iter_mut().zip(days) {
                    // Whole seconds keep the fixed points exact.
                    *point = (days * DAY).round();
                }
            }
            "gains" => self.gains = fields::ascending(field, value, 0.0..=4.0)?,
            "lapse_factor" => self.lapse_factor = fields::number(field, value, 0.0..=1.0)?,
            "overdue_bonus" => self.overdue_bonus = fields::number(field, value, 0.0..=4.0)?,
            "fast_ms" => self.fast_ms = fields::whole(field, value, 1..=MAX_RESPONSE_TIME_MS)?,
            "slow_ms" => self.slow_ms = fields::whole(field, value, 1..=MAX_RESPONSE_TIME_MS)?,
            "fast_bonus" => self.fast_bonus = fields::number(field, value, 0.0..=1.0)?,
            "slow_penalty" => self.slow_penalty = fields::number(field, value, 0.0..=1.0)?,
            _ => {
                return Err(Error::config(format!(
                    "{field} is unknown; the scheduler sm2 has {}",
                    MEMBERS.join(", ")
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scheduling::Parameters;

    fn message(value: &Value) -> String {
        let error = Parameters::from_json(value).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        error.message().to_owned()
    }

    #[test]
    fn every_member_is_read() {
        let Parameters::Sm2(sm2) = Parameters::from_json(&json!({
            "name": "sm2",
            "relearn_minutes": 5,
            "interval_days": [0.5, 2, 4, 8],
            "gains": [0, 0.5, 2],
            "lapse_factor": 0,
            "overdue_bonus": 1,
            "fast_ms": 1000,
            "slow_ms": 9000,
            "fast_bonus": 0.1,
            "slow_penalty": 1,
        }))
        .unwrap();
        let expected = Sm2 {
            interval_points: [300.0, 43_200.0, 172_800.0, 345_600.0, 691_200.0],
            gains: [0.0, 0.5, 2.0],
            lapse_factor: 0.0,
            overdue_bonus: 1.0,
            fast_ms: 1_000,
            slow_ms: 9_000,
            fast_bonus: 0.1,
            slow_penalty: 1.0,
        };
        assert_eq!(sm2, expected);
    }

    #[test]
    fn a_wrong_member_is_refused_by_name() {
        for (wrong, expected) in [
            (
                json!({"lapse_factor": 1.01}),
                "srs_scheduler.lapse_factor must be between 0 and 1",
            ),
            (
                json!({"lapse_factor": "0.5"}),
                "srs_scheduler.lapse_factor must be between 0 and 1",
            ),
            (
                json!({"relearn_minutes": 0}),
                "srs_scheduler.relearn_minutes must be a whole number between 1 and 720",
            ),
            (
                json!({"relearn_minutes": 1.5}),
                "srs_scheduler.relearn_minutes must be a whole number between 1 and 720",
            ),
            (
                json!({"fast_ms": 1e300}),
                "srs_scheduler.fast_ms must be a whole number between 1 and 86400000",
            ),
            (
                json!({"fast_ms": 7000}),
                "srs_scheduler.fast_ms must not be greater than slow_ms",
            ),
            (
                json!({"gains": [0.5, 1]}),
                "srs_scheduler.gains must be a list of 3 numbers",
            ),
            (
                json!({"gains": [0.5, 1, null]}),
                "srs_scheduler.gains[2] must be between 0 and 4",
            ),
            (
                json!({"gains": [0.5, 0.4, 1]}),
                "srs_scheduler.gains must be ascending",
            ),
            (
                json!({"interval_days": [1, 3, 3, 14]}),
                "srs_scheduler.interval_days must be strictly ascending",
            ),
            (
                json!({"interval_days": [0.5, 1, 2, 3], "relearn_minutes": 720}),
                "srs_scheduler.relearn_minutes must be less than interval_days[0]",
            ),
        ] {
            assert_eq!(message(&wrong), expected, "{wrong}");
        }
        assert!(
            message(&json!({"lapse_faktor": 0.5}))
                .starts_with("srs_scheduler.lapse_faktor is unknown; the scheduler sm2 has")
        );
    }

    #[test]
    fn the_list_of_members_is_complete() {
        for member in MEMBERS {
            let error = message(&json!({ member: "wrong" }));
            assert!(!error.contains("unknown"), "{error}");
        }
    }
}
