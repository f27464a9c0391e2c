//! The words of the domain: names, times, versions, and a question's state.

use std::fmt;

use crate::error::{Error, Result};

/// Microseconds since the Unix epoch, UTC.
///
/// Everything inside the engine is in this unit. Wall time exists only at the edges
/// ([`crate::site_time`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcMicros(pub i64);

impl UtcMicros {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        Self(chrono::Utc::now().timestamp_micros() + crate::failpoint::clock_skew())
    }

    /// From a Redis score: seconds since the epoch, possibly with a fraction.
    /// `None` for a score that is no time (infinite, not a number, or beyond reach).
    pub fn from_score(score: f64) -> Option<Self> {
        let micros = (score * 1e6).round();
        // Year 9999 and all before; beyond 2255 only whole seconds come back exactly.
        (micros.abs() < 2.6e17).then_some(Self(micros as i64))
    }

    /// As a Redis score, in its shortest exact form. A double holds microseconds
    /// exactly enough to come back unchanged until the year 2255.
    pub fn to_score(self) -> String {
        if self.0 % 1_000_000 == 0 {
            (self.0 / 1_000_000).to_string()
        } else {
            format!("{}", self.0 as f64 / 1e6)
        }
    }

    /// Rounded down to whole seconds.
    pub fn floor_seconds(self) -> Self {
        Self(self.0.div_euclid(1_000_000) * 1_000_000)
    }

    /// Later by this many seconds.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0 + seconds * 1_000_000)
    }
}

/// Memory stability, 0 to 4, in the unit that the table stores: 9 decimal places.
///
/// An integer, so that a value compares equal after a round trip through
/// `decimal(21,9)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stability(i64);

impl Stability {
    /// The highest. Older rows may hold more; everywhere in the engine they count as this, so
    /// that table and cache show the same.
    pub const MAX: f64 = 4.0;
    const UNIT: f64 = 1e9;

    /// Rounds to 9 places. Not-a-number becomes 0.
    pub fn from_f64(value: f64) -> Self {
        Self((value * Self::UNIT).round() as i64)
    }

    /// As a number for computing and for answers.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::UNIT
    }

    /// In units of 10⁻⁹.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// From units of 10⁻⁹.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The decimal text that the table stores.
    pub fn to_decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let abs = self.0.unsigned_abs();
        format!("{sign}{}.{:09}", abs / 1_000_000_000, abs % 1_000_000_000)
    }
}

/// Longest name, in characters: what Frappe's `varchar(140)` columns hold.
pub const MAX_NAME_CHARS: usize = 140;

/// Checks what every id and season name must be: 1 to 140 printable characters
/// without outer blanks.
///
/// # Errors
/// `InvalidInput`, naming `field`.
pub fn check_name(field: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(format!("{field} must not be empty")));
    }
    if value.chars().count() > MAX_NAME_CHARS {
        return Err(Error::invalid(format!(
            "{field} must have at most {MAX_NAME_CHARS} characters"
        )));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{field} must consist of printable characters"
        )));
    }
    if value.trim() != value {
        return Err(Error::invalid(format!(
            "{field} must not begin or end with a blank"
        )));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes a spelling that a server stored. Input from outside goes through
            /// [`check_name`] first.
            pub fn stored(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name itself, for keeps.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// A student: the name of a Frappe User, in its stored spelling.
    Player
}
name_type! {
    /// A season: the name of a Game Subscription Season, in its stored spelling.
    Season
}
name_type! {
    /// A question: `<stage>:<index>` or `<stage>`, in its stored spelling.
    QuestionId
}

impl QuestionId {
    /// The part before the last colon, or the whole id.
    pub fn stage(&self) -> &str {
        self.0.rsplit_once(':').map_or(&self.0, |(stage, _)| stage)
    }
}

/// The client's name for one submit: 1 to 64 of `[A-Za-z0-9_-]`.
///
/// With the player it identifies a write: whatever is repeated under it has one effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(String);

impl SubmissionId {
    /// Checks an id from outside; `field` is named in the error.
    ///
    /// # Errors
    /// `InvalidInput` when it is empty, longer than 64, or has other characters.
    pub fn parse(field: &str, value: &str) -> Result<Self> {
        let good = (1..=64).contains(&value.len())
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if good {
            Ok(Self(value.to_owned()))
        } else {
            Err(Error::invalid(format!(
                "{field} must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"
            )))
        }
    }

    /// A new one, for a client that gave none.
    pub fn generate() -> Self {
        Self(new_ulid())
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new ULID: a time and 80 random bits, which come from the operating system each time.
/// A generator in memory would go on alike in both processes after a fork.
pub(crate) fn new_ulid() -> String {
    let mut random = [0; 16];
    match getrandom::fill(&mut random) {
        Ok(()) => {
            let now = u64::try_from(UtcMicros::now().0 / 1000).unwrap_or(0);
            ulid::Ulid::from_parts(now, u128::from_be_bytes(random))
        }
        Err(_) => ulid::Ulid::new(),
    }
    .to_string()
}

/// Orders the states of one question: UTC microseconds, never less than the state it
/// was computed from plus one. 0 for rows written by others. Wall time never decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub i64);

impl Version {
    /// The version of a state computed `now` from one with version `self`.
    #[must_use]
    pub fn next(self, now: UtcMicros) -> Self {
        if crate::failpoint::planted("wall_time") {
            return Self(now.0);
        }
        Self(now.0.max(self.0.saturating_add(1)))
    }
}

/// Everything known about one student's question: absolute, so that writing it twice
/// changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionState {
    /// Which question.
    pub question: QuestionId,
    /// Memory stability, 0 to 4.
    pub stability: Stability,
    /// When the next review is due.
    pub due: UtcMicros,
    /// When it was last reviewed; `None` when no review is on record.
    pub last_review: Option<UtcMicros>,
    /// Orders this state among all states of the question.
    pub version: Version,
    /// Game Subject, from the table only, never from the student.
    pub subject: Option<String>,
    /// Game Topic, from the table only, never from the student.
    pub topic: Option<String>,
}

impl QuestionState {
    /// Whether this state wins over `other`: higher version; then later due; then
    /// higher stability. The one comparison of scripts, upsert, overlay and fill.
    pub fn beats(&self, other: &Self) -> bool {
        (self.version, self.due, self.stability) > (other.version, other.due, other.stability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_round_trip_keeps_microseconds() {
        for micros in [
            0,
            1,
            1_768_816_800_000_000,
            1_768_816_800_123_456,
            -1_500_000,
            // 1000-01-02 and 9999-12-30.
            -30_610_137_600_000_000,
            253_402_128_000_000_000,
        ] {
            let t = UtcMicros(micros);
            let score: f64 = t.to_score().parse().unwrap();
            assert_eq!(UtcMicros::from_score(score), Some(t), "{micros}");
        }
        assert_eq!(UtcMicros(1_768_816_800_000_000).to_score(), "1768816800");
        assert_eq!(UtcMicros::from_score(f64::INFINITY), None);
        assert_eq!(UtcMicros::from_score(f64::NAN), None);
    }

    #[test]
    fn stability_survives_the_decimal_column() {
        assert_eq!(Stability::from_f64(2.5).to_decimal(), "2.500000000");
        assert_eq!(Stability::from_f64(0.000_000_000_6).nanos(), 1);
        assert_eq!(Stability::from_f64(-0.25).to_decimal(), "-0.250000000");
    }

    #[test]
    fn stage_is_the_part_before_the_last_colon() {
        assert_eq!(QuestionId::stored("a:b:3").stage(), "a:b");
        assert_eq!(QuestionId::stored("Q-UUID-001").stage(), "Q-UUID-001");
    }

    #[test]
    fn names_and_submission_ids_are_bounded() {
        assert!(check_name("season", &"ä".repeat(140)).is_ok());
        for bad in ["", " a", "a ", "a\nb", "a\0", &"a".repeat(141)] {
            assert!(check_name("season", bad).is_err(), "{bad:?}");
        }
        assert!(SubmissionId::parse("submission_id", &"a".repeat(64)).is_ok());
        for bad in ["", "a b", "a:b", "é", &"a".repeat(65)] {
            assert!(
                SubmissionId::parse("submission_id", bad).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn versions_grow_even_when_the_clock_does_not() {
        assert_eq!(Version(10).next(UtcMicros(5)), Version(11));
        assert_eq!(Version(10).next(UtcMicros(50)), Version(50));
    }
}
