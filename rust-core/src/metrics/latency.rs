//! How long something took: a histogram for Prometheus that also knows its last minute, and
//! the quarter of an hour before, step by step.
//!
//! Prometheus' own client counts for a server that keeps the past. Whoever looks without
//! one (the operations page, Python) wants to know how it is *now*; so
//! the last minutes are counted beside, in slots of ten seconds that are taken over in turn.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use serde::Serialize;

/// Length of a slot in seconds.
const SLOT_S: u64 = 10;
/// Slots that are kept: a quarter of an hour, and the one that is being filled.
const SLOTS: usize = 91;
/// Those of the last minute, and the one that is being filled.
const MINUTE: u64 = 7;

/// From when on slots are numbered.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// See the module's documentation. Clones count together.
#[derive(Debug, Clone)]
pub struct Latency(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds of the buckets in seconds, ascending; what is above all has one more.
    bounds: &'static [f64],
    sum: f64,
    /// Since the process began, bucket by bucket.
    total: Vec<u64>,
    recent: Vec<Slot>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    number: u64,
    counts: Vec<u64>,
}

/// What was counted within some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Observations.
    pub count: u64,
    /// Observations a second, over the whole of that time.
    pub per_second: f64,
    /// So many seconds were enough for half of them; `None` if there are none.
    pub p50: Option<f64>,
    /// The same for 95 of 100.
    pub p95: Option<f64>,
    /// The same for 99 of 100.
    pub p99: Option<f64>,
}

/// Ten seconds that are over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Past {
    /// How many seconds ago they ended.
    pub ago_s: f64,
    /// What was counted in them.
    #[serde(flatten)]
    pub summary: Summary,
}

impl Latency {
    /// One with buckets up to these bounds, in seconds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            bounds,
            sum: 0.0,
            total: vec![0; bounds.len() + 1],
            recent: vec![Slot::default(); SLOTS],
        })))
    }

    /// Counts one that took so many seconds.
    pub fn observe(&self, seconds: f64) {
        self.observe_at(seconds, START.elapsed());
    }

    fn observe_at(&self, seconds: f64, since_start: Duration) {
        let mut inner = self.inner();
        let bucket = inner.bounds.partition_point(|bound| *bound < seconds);
        inner.sum += seconds;
        inner.total[bucket] += 1;
        let (number, buckets) = (since_start.as_secs() / SLOT_S, inner.total.len());
        let slot = &mut inner.recent[number as usize % SLOTS];
        if slot.number != number || slot.counts.is_empty() {
            slot.number = number;
            slot.counts.clear();
            slot.counts.resize(buckets, 0);
        }
        slot.counts[bucket] += 1;
    }

    /// How many there were since the process began.
    pub fn count(&self) -> u64 {
        self.inner().total.iter().sum()
    }

    /// The last minute; between 60 and 70 seconds of it, or all since the process began.
    pub fn last_minute(&self) -> Summary {
        self.last_minute_at(START.elapsed())
    }

    fn last_minute_at(&self, since_start: Duration) -> Summary {
        let inner = self.inner();
        let now = since_start.as_secs() / SLOT_S;
        let oldest = (now + 1).saturating_sub(MINUTE);
        let mut counts = vec![0; inner.total.len()];
        for slot in &inner.recent {
            if (oldest..=now).contains(&slot.number) {
                for (sum, count) in counts.iter_mut().zip(&slot.counts) {
                    *sum += count;
                }
            }
        }
        let seconds = since_start.as_secs_f64() - (oldest * SLOT_S) as f64;
        summary(inner.bounds, &counts, seconds.max(1.0))
    }

    /// The last quarter of an hour in slots of ten seconds, the oldest first; the one that is
    /// being filled is left out, and so is the time before the process began.
    pub fn past(&self) -> Vec<Past> {
        self.past_at(START.elapsed())
    }

    fn past_at(&self, since_start: Duration) -> Vec<Past> {
        let inner = self.inner();
        let now = since_start.as_secs() / SLOT_S;
        let none = vec![0; inner.total.len()];
        let oldest = (now + 1).saturating_sub(SLOTS as u64);
        let slots = (oldest..now).map(|number| {
            let slot = &inner.recent[number as usize % SLOTS];
            let seen = slot.number == number && !slot.counts.is_empty();
            let counts = if seen { &slot.counts } else { &none };
            Past {
                ago_s: since_start.as_secs_f64() - ((number + 1) * SLOT_S) as f64,
                summary: summary(inner.bounds, counts, SLOT_S as f64),
            }
        });
        slots.collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(bounds: &[f64], counts: &[u64], seconds: f64) -> Summary {
    let count = counts.iter().sum();
    Summary {
        count,
        per_second: count as f64 / seconds,
        p50: quantile(bounds, counts, 0.50),
        p95: quantile(bounds, counts, 0.95),
        p99: quantile(bounds, counts, 0.99),
    }
}

/// What Prometheus' `histogram_quantile` makes of the same buckets: within a bucket all
/// values are taken to be spread evenly, and what is above the last bound to be that bound.
fn quantile(bounds: &[f64], counts: &[u64], q: f64) -> Option<f64> {
    let count: u64 = counts.iter().sum();
    if count == 0 {
        return None;
    }
    let rank = q * count as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (bound, count) in bounds.iter().zip(counts) {
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            return Some(lower + (bound - lower) * ((rank - below) / count));
        }
        (below, lower) = (below + count, *bound);
    }
    bounds.last().copied()
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let (sum, total, buckets) = {
            let inner = self.inner();
            let bounds = inner.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(inner.total.iter().copied()).collect();
            (inner.sum, inner.total.iter().sum(), buckets)
        };
        encoder.encode_histogram::<NoLabelSet>(sum, total, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [0.1, 0.2, 1.0];

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bound_is_part_of_its_bucket() {
        let latency = Latency::new(&BOUNDS);
        for seconds in [0.1, 0.100_001, 0.2, 1.0, 1.1, 70.0] {
            latency.observe(seconds);
        }
        assert_eq!(latency.inner().total, [1, 2, 1, 2]);
        assert_eq!(latency.count(), 6);
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        // histogram_quantile(q, …) of Prometheus 2.42 says the same of these.
        let counts = [60, 30, 9, 1];
        let of = |q| quantile(&BOUNDS, &counts, q).unwrap();
        assert!((of(0.5) - 0.083_333).abs() < 1e-6, "{}", of(0.5));
        assert!((of(0.9) - 0.2).abs() < 1e-9);
        assert!((of(0.95) - 0.644_444).abs() < 1e-6, "{}", of(0.95));
        assert!((of(0.99) - 1.0).abs() < 1e-9);
        assert!((of(0.999) - 1.0).abs() < 1e-9);
        assert_eq!(quantile(&BOUNDS, &[0; 4], 0.5), None);
        assert_eq!(quantile(&BOUNDS, &[0, 0, 0, 3], 0.5), Some(1.0));
    }

    #[test]
    fn the_last_minute_forgets_what_is_older() {
        let latency = Latency::new(&BOUNDS);
        latency.observe_at(0.05, at(1));
        latency.observe_at(0.15, at(65));
        assert_eq!(latency.last_minute_at(at(65)).count, 2);
        let later = latency.last_minute_at(at(71));
        assert_eq!(later.count, 1);
        assert!(later.p50.is_some_and(|p50| p50 > 0.1), "{later:?}");
        // A slot is taken over by the one that comes a round later.
        latency.observe_at(0.05, at(135));
        assert_eq!(latency.last_minute_at(at(135)).count, 1);
        assert_eq!(latency.last_minute_at(at(300)).count, 0);
        assert_eq!(latency.count(), 3);
    }

    #[test]
    fn the_past_is_told_step_by_step() {
        let latency = Latency::new(&BOUNDS);
        assert_eq!(latency.past_at(at(9)), []);
        latency.observe_at(0.05, at(1));
        latency.observe_at(0.05, at(3));
        latency.observe_at(0.15, at(25));
        let past = latency.past_at(at(31));
        let counts: Vec<u64> = past.iter().map(|past| past.summary.count).collect();
        assert_eq!(counts, [2, 0, 1]);
        assert!((past[0].ago_s - 21.0).abs() < 1e-9);
        assert!((past[0].summary.per_second - 0.2).abs() < 1e-9);
        // A round later the first slot is another's.
        latency.observe_at(0.05, at(915));
        let past = latency.past_at(at(925));
        assert_eq!(past.len(), 90);
        let counted: u64 = past.iter().map(|past| past.summary.count).sum();
        assert_eq!(counted, 2);
    }

    #[test]
    fn a_young_process_divides_by_its_age() {
        let latency = Latency::new(&BOUNDS);
        for _ in 0..50 {
            latency.observe_at(0.05, at(4));
        }
        assert!((latency.last_minute_at(at(5)).per_second - 10.0).abs() < 1e-9);
    }
}
