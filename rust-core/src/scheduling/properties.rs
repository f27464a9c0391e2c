//! What holds for every input and every valid set of parameters.

use proptest::prelude::*;
use serde_json::json;

use super::{After, Answer, Before, Parameters, schedule};
use crate::types::{Stability, UtcMicros};

/// Microseconds from 1970 to the end of 9998: the years of a DATETIME, less one of slack.
const TIMES: std::ops::Range<i64> = 0..253_370_764_800_000_000;

const DAY: i64 = 86_400_000_000;

fn parameters() -> impl Strategy<Value = Parameters> {
    let one = || 0.0..=1.0;
    let valid = (
        1u32..=719,
        prop::array::uniform4(0.01f64..90.0),
        prop::array::uniform3(0.0f64..=2.0),
        (one(), one(), one(), one()),
        (1u32..=20_000, 0u32..=60_000),
    )
        .prop_map(
            |(
                relearn_minutes,
                steps,
                mut gains,
                (lapse, overdue, bonus, penalty),
                (fast, more),
            )| {
                let mut days = [0.5; 4];
                for i in 0..4 {
                    days[i] = steps[i] + if i == 0 { 0.5 } else { days[i - 1] };
                }
                gains.sort_by(f64::total_cmp);
                Parameters::from_json(&json!({
                    "relearn_minutes": relearn_minutes,
                    "interval_days": days,
                    "gains": gains,
                    "lapse_factor": lapse,
                    "overdue_bonus": overdue,
                    "fast_ms": fast,
                    "slow_ms": fast + more,
                    "fast_bonus": bonus,
                    "slow_penalty": penalty,
                }))
                .unwrap()
            },
        );
    prop_oneof![Just(Parameters::default()), valid]
}

/// A state as it may be found in the table, and a time of the next answer: on time, early
/// or overdue, with and without a last review.
fn state_and_now() -> impl Strategy<Value = (Before, UtcMicros)> {
    let nanos = prop_oneof![
        3 => 0..=4_000_000_000i64,
        1 => (0..=4i64).prop_map(|s| s * 1_000_000_000),
        1 => -9_000_000_000..=9_000_000_000i64,
    ];
    (
        nanos,
        TIMES,
        -20 * DAY..=20 * DAY,
        prop::option::of(-DAY..=40 * DAY),
    )
        .prop_map(|(nanos, now, overdue, since_review)| {
            let before = Before {
                stability: Stability::from_nanos(nanos),
                due: UtcMicros(now - overdue),
                last_review: since_review.map(|since| UtcMicros(now - since)),
            };
            (before, UtcMicros(now))
        })
}

fn answer() -> impl Strategy<Value = Answer> {
    (0u8..=5, prop::option::of(0u32..=30_000)).prop_map(|(quality, response_time_ms)| Answer {
        quality,
        response_time_ms,
    })
}

/// Both the stability and the due time of `low` are at most those of `high`.
fn at_most(low: After, high: After) -> bool {
    low.stability <= high.stability && low.due <= high.due
}

/// Stability differs by less than 0.00001 and the due time by less than a minute.
fn close(a: After, b: After) -> bool {
    (a.stability.nanos() - b.stability.nanos()).abs() < 10_000
        && (a.due.0 - b.due.0).abs() < 60_000_000
}

/// The result of an answer without a response time.
fn answered(before: Before, quality: u8, now: UtcMicros, parameters: &Parameters) -> After {
    let answer = Answer {
        quality,
        response_time_ms: None,
    };
    schedule(Some(before), answer, now, parameters)
}

proptest! {
    #[test]
    fn a_better_answer_never_gets_less(
        (before, now) in state_and_now(),
        known in any::<bool>(),
        response_time_ms in prop::option::of(0u32..=30_000),
        parameters in parameters(),
    ) {
        let results: Vec<After> = (0..=5)
            .map(|quality| Answer { quality, response_time_ms })
            .map(|answer| schedule(known.then_some(before), answer, now, &parameters))
            .collect();
        prop_assert!(results.windows(2).all(|w| at_most(w[0], w[1])), "{results:?}");
    }

    #[test]
    fn a_faster_answer_never_gets_less(
        (before, now) in state_and_now(),
        quality in 0u8..=5,
        mut times in prop::collection::vec(0u32..=100_000, 2..6),
        parameters in parameters(),
    ) {
        times.sort_unstable();
        let results: Vec<After> = times
            .iter()
            .map(|&ms| Answer { quality, response_time_ms: Some(ms) })
            .map(|answer| schedule(Some(before), answer, now, &parameters))
            .collect();
        prop_assert!(results.windows(2).all(|w| at_most(w[1], w[0])), "{results:?}");
    }

    #[test]
    fn waiting_longer_and_knowing_more_never_get_less(
        (before, now) in state_and_now(),
        quality in 0u8..=5,
        later in 0..60 * DAY,
        more in 0..4_000_000_000i64,
        parameters in parameters(),
    ) {
        let waited = Before {
            due: UtcMicros(before.due.0 - later),
            last_review: before.last_review.map(|t| UtcMicros(t.0 - later)),
            ..before
        };
        let stronger = Before {
            stability: Stability::from_nanos(before.stability.nanos() + more),
            ..before
        };
        let result = answered(before, quality, now, &parameters);
        prop_assert!(at_most(result, answered(waited, quality, now, &parameters)));
        prop_assert!(at_most(result, answered(stronger, quality, now, &parameters)));
    }

    #[test]
    fn results_are_bounded_whole_and_ahead(
        (before, now) in state_and_now(),
        known in any::<bool>(),
        answer in answer(),
        parameters in parameters(),
    ) {
        let after = schedule(known.then_some(before), answer, now, &parameters);
        prop_assert!((0..=4_000_000_000).contains(&after.stability.nanos()));
        prop_assert_eq!(after.due.0 % 1_000_000, 0);
        prop_assert!(after.due > now);
        prop_assert!(after.due.0 - now.0 <= 365 * DAY);
    }

    #[test]
    fn a_remembered_answer_never_lowers_and_a_lapse_never_raises(
        (before, now) in state_and_now(),
        answer in answer(),
        parameters in parameters(),
    ) {
        let stability = before.stability.nanos().clamp(0, 4_000_000_000);
        let after = schedule(Some(before), answer, now, &parameters).stability.nanos();
        if answer.quality >= 3 {
            prop_assert!(after >= stability);
        } else {
            prop_assert!(after <= stability);
        }
    }

    #[test]
    fn the_result_survives_the_table_and_repeats(
        (before, now) in state_and_now(),
        answer in answer(),
        parameters in parameters(),
    ) {
        let after = schedule(Some(before), answer, now, &parameters);
        let stored: f64 = after.stability.to_decimal().parse().unwrap();
        prop_assert_eq!(Stability::from_f64(stored), after.stability);
        prop_assert_eq!(Stability::from_f64(after.stability.to_f64()), after.stability);
        prop_assert_eq!(schedule(Some(before), answer, now, &parameters), after);
    }

    /// A small step in any input is a small step in the result, also across the fixed
    /// points, the end of the overdue bonus, and both limits of the response time.
    #[test]
    fn the_result_is_continuous(
        (mut before, now) in state_and_now(),
        fixed_point in prop::option::of(1i64..=3),
        (quality, response_time_ms) in (0u8..=5, 0u32..=30_000),
        parameters in parameters(),
    ) {
        if let Some(k) = fixed_point {
            before.stability = Stability::from_nanos(k * 1_000_000_000);
        }
        let answer = Answer { quality, response_time_ms: Some(response_time_ms) };
        let result = schedule(Some(before), answer, now, &parameters);

        // A billionth of stability and a millisecond, either way. The steepest piece that
        // the parameters above allow takes 864 s for one step of stability, so this is
        // worth less than 0.000002, and that less than 20 s of the longest piece.
        for step in [-1, 1] {
            let nearby = Before {
                stability: Stability::from_nanos(before.stability.nanos() + step),
                last_review: before.last_review.map(|t| UtcMicros(t.0 + step * 1_000)),
                ..before
            };
            prop_assert!(close(result, schedule(Some(nearby), answer, now, &parameters)));
        }
    }

    /// One millisecond of response time is worth at most what the ramps say, nowhere a
    /// jump.
    #[test]
    fn the_response_time_has_no_steps(
        (before, now) in state_and_now(),
        quality in 3u8..=5,
        ms in prop_oneof![0u32..=30_000, 990u32..=1_010, 1_990u32..=2_010, 5_990u32..=6_010],
    ) {
        let at = |ms| {
            let answer = Answer { quality, response_time_ms: Some(ms) };
            schedule(Some(before), answer, now, &Parameters::default())
        };
        // 1.25 · 0.2 over 1000 ms is 0.00025 a millisecond.
        let (a, b) = (at(ms).stability.nanos(), at(ms + 1).stability.nanos());
        prop_assert!((a - b).abs() <= 250_001, "{a} {b}");
    }

    /// However often and well a question is answered within an hour, it gets no further
    /// than one gain above what that hour proves, or stays where it was.
    #[test]
    fn cramming_leads_nowhere(
        (before, now) in state_and_now(),
        pauses in prop::collection::vec(0..60_000_000i64, 1..60),
    ) {
        let best = Answer { quality: 5, response_time_ms: Some(500) };
        let first = schedule(Some(before), best, now, &Parameters::default());
        let (mut state, mut now) = (first, now);
        for pause in pauses {
            let again = Before {
                stability: state.stability,
                due: state.due,
                last_review: Some(now),
            };
            now = UtcMicros(now.0 + pause);
            state = schedule(Some(again), best, now, &Parameters::default());
        }
        let limit = first.stability.max(Stability::from_f64(1.6));
        prop_assert!(state.stability <= limit, "{first:?} {state:?}");
    }

    #[test]
    fn nothing_panics(
        (nanos, due, last_review, now) in any::<(i64, i64, Option<i64>, i64)>(),
        (quality, response_time_ms) in any::<(u8, Option<u32>)>(),
        parameters in parameters(),
    ) {
        for now in [now, i64::MIN, i64::MAX] {
            for due in [due, i64::MIN, i64::MAX] {
                let before = Before {
                    stability: Stability::from_nanos(nanos),
                    due: UtcMicros(due),
                    last_review: last_review.map(UtcMicros),
                };
                let answer = Answer { quality, response_time_ms };
                let after = schedule(Some(before), answer, UtcMicros(now), &parameters);
                prop_assert!((0..=4_000_000_000).contains(&after.stability.nanos()));
            }
        }
    }
}
