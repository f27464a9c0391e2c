//! The equations, on numbers alone: stability 0 to 4, seconds, factors.
//!
//! Each is continuous and monotone, so that no two students who did nearly the same get
//! schedules that differ much. `docs/SCHEDULING.md` gives the reasons in full. Only
//! addition, subtraction, multiplication and division are used: IEEE 754 fixes their
//! results, so every machine computes the same bits.

use super::Sm2;
use crate::types::Stability;

/// The nearest stability.
pub(super) fn clamp(stability: f64) -> f64 {
    stability.clamp(0.0, Stability::MAX)
}

impl Sm2 {
    /// I(s), seconds from a review to the next one: straight lines between the fixed
    /// points I(0) … I(4).
    pub(super) fn interval_seconds(&self, stability: f64) -> f64 {
        let (lower, upper, below) = self.segment(|i, _| stability >= i as f64);
        below + (upper - below) * (stability - lower as f64)
    }

    /// I⁻¹(t), the stability whose interval is `seconds`; 0 below I(0), 4 above I(4).
    fn stability_for(&self, seconds: f64) -> f64 {
        let (lower, upper, below) = self.segment(|_, interval| seconds >= interval);
        clamp(lower as f64 + (seconds - below) / (upper - below))
    }

    /// The piece between two fixed points that begins at the last of 0 to 3 for which
    /// `reached(index, interval)` holds: its index, and the intervals at both ends.
    fn segment(&self, reached: impl Fn(usize, f64) -> bool) -> (usize, f64, f64) {
        let points = &self.interval_points;
        let lower = (1..points.len() - 1)
            .take_while(|&i| reached(i, points[i]))
            .last()
            .unwrap_or(0);
        (lower, points[lower + 1], points[lower])
    }

    /// The stability that remembering for `elapsed` seconds proves, given the stability
    /// before: less than it after an early review, more (bounded) after an overdue one.
    pub(super) fn proven(&self, stability: f64, elapsed: f64) -> f64 {
        self.stability_for(elapsed)
            .min(stability + self.overdue_bonus)
    }

    /// What a remembered answer adds: `quality` 3, 4 or 5.
    pub(super) fn gain(&self, quality: u8) -> f64 {
        let [hard, good, easy] = self.gains;
        match quality {
            0..=3 => hard,
            4 => good,
            _ => easy,
        }
    }

    /// How the time to the answer scales the gain: 1 between `fast_ms` and `slow_ms` and
    /// when it is not known; rising to its most at half of `fast_ms`, falling to its
    /// least at twice `slow_ms`.
    pub(super) fn speed(&self, response_time_ms: Option<u32>) -> f64 {
        let Some(ms) = response_time_ms.map(f64::from) else {
            return 1.0;
        };
        let (fast, slow) = (f64::from(self.fast_ms), f64::from(self.slow_ms));
        let quickness = ((fast - ms) / (fast / 2.0)).clamp(0.0, 1.0);
        let slowness = ((ms - slow) / slow).clamp(0.0, 1.0);
        1.0 + self.fast_bonus * quickness - self.slow_penalty * slowness
    }

    /// What a lapse leaves of the stability: `lapse_factor` of it at quality 2, two
    /// thirds of that at 1, one third at 0.
    pub(super) fn lapse(&self, stability: f64, quality: u8) -> f64 {
        stability * self.lapse_factor * f64::from(quality + 1) / 3.0
    }
}
