//! The default scheduler: SM-2's idea of quality and growing intervals, on a stability
//! from 0 to 4.
//!
//! [`parameters`] reads and checks what a site may change, [`formulas`] has the
//! equations, and [`Sm2::schedule`] below puts them together.

mod formulas;
mod parameters;

pub use parameters::Sm2;

use super::{After, Answer, Before, PASSING_QUALITY};
use crate::types::{Stability, UtcMicros};

const MICROS: i64 = 1_000_000;

impl Sm2 {
    /// See [`super::schedule`]; `answer.quality` is at most 5.
    pub(super) fn schedule(&self, before: Option<Before>, answer: Answer, now: UtcMicros) -> After {
        let (stability, elapsed) = match before {
            // Nothing is known and nothing was remembered for any time.
            None => (0.0, 0.0),
            Some(before) => {
                let stability = formulas::clamp(before.stability.to_f64());
                (stability, self.elapsed_seconds(stability, &before, now))
            }
        };

        if answer.quality < PASSING_QUALITY {
            let kept = Stability::from_f64(self.lapse(stability, answer.quality));
            return After {
                stability: kept,
                // Whatever stability it keeps, it has to be relearned first.
                due: due(now, self.interval_seconds(0.0)),
            };
        }

        let proven = self.proven(stability, elapsed);
        let gain = self.gain(answer.quality) * self.speed(answer.response_time_ms);
        let reached = Stability::from_f64(formulas::clamp(stability.max(proven + gain)));
        After {
            stability: reached,
            // From the rounded value, so that the interval follows from what is stored.
            due: due(now, self.interval_seconds(reached.to_f64())),
        }
    }

    /// Seconds that this answer shows the question to have been remembered for.
    ///
    /// Without a last review it is the interval that led to the due time, plus what it is
    /// overdue or less what it is early. Never negative: a review in the future (a clock
    /// put back, a row written in another zone) proves nothing.
    fn elapsed_seconds(&self, stability: f64, before: &Before, now: UtcMicros) -> f64 {
        let since = |t: UtcMicros| now.0.saturating_sub(t.0) as f64 / MICROS as f64;
        match before.last_review {
            Some(last) => since(last),
            None => self.interval_seconds(stability) + since(before.due),
        }
        .max(0.0)
    }
}

/// `seconds` after `now`, rounded down to a whole second.
fn due(now: UtcMicros, seconds: f64) -> UtcMicros {
    let exact = now.0.saturating_add((seconds * MICROS as f64) as i64);
    UtcMicros(exact.saturating_sub(exact.rem_euclid(MICROS)))
}
