//! Pure scheduling: state, quality, response time and now in; new state out.

use crate::types::{Stability, UtcMicros};

/// Parameters of the scheduler (`srs_scheduler`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {}

/// XP by quality 0 to 5 (`srs_xp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XpTable(pub [u32; 6]);

impl Default for XpTable {
    fn default() -> Self {
        Self([0, 2, 5, 15, 20, 25])
    }
}

/// What a scheduler may know about a question before the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Before {
    /// Memory stability, 0 to 4.
    pub stability: Stability,
    /// When it was due.
    pub due: UtcMicros,
    /// When it was last reviewed, if ever.
    pub last_review: Option<UtcMicros>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// 0 to 5.
    pub quality: u8,
    /// Milliseconds from question to answer, if the client measured it.
    pub response_time_ms: Option<u32>,
}

/// What the answer makes of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Memory stability, 0 to 4, rounded to 9 places.
    pub stability: Stability,
    /// Next review, in whole seconds.
    pub due: UtcMicros,
}

/// Schedules the next review. `before` is `None` for a new question.
pub fn schedule(
    before: Option<Before>,
    answer: Answer,
    now: UtcMicros,
    parameters: &Parameters,
) -> After {
    let _ = (before, answer, parameters);
    After {
        stability: Stability::from_f64(1.0),
        due: now.floor_seconds().plus_seconds(86_400),
    }
}
