//! What does scheduling cost a submit?
//!
//! One answer, and the 50 of the largest batch, each with its due time settled in the
//! site's zone: all the computing that a submit does besides encoding.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use criterion::{Criterion, Throughput, criterion_group};
use memora_benches::report::{Bar, Figure, Report};
use memora_core::scheduling::{Answer, Before, Parameters, schedule};
use memora_core::site_time::SiteZone;
use memora_core::types::{Stability, UtcMicros};

/// 2026-01-19 10:00:00 UTC.
const NOW: UtcMicros = UtcMicros(1_768_816_800_000_000);

/// The most answers that a submit may have.
const BATCH: u32 = 50;

/// How often the figure of the report is measured, and batches of each time.
const ROUNDS: usize = 7;
const BATCHES: u32 = 10_000;

/// The `n`th question: stabilities, delays and answers of every kind in turn.
fn question(n: u32) -> (Option<Before>, Answer) {
    let before = (!n.is_multiple_of(7)).then(|| Before {
        stability: Stability::from_f64(f64::from(n % 9) / 2.0),
        due: NOW.plus_seconds(-i64::from(n) * 3_600),
        last_review: (!n.is_multiple_of(5)).then(|| NOW.plus_seconds(-i64::from(n) * 20_000)),
    });
    let answer = Answer {
        quality: (n % 6) as u8,
        response_time_ms: (!n.is_multiple_of(4)).then_some(n * 300),
    };
    (before, answer)
}

fn scheduling(c: &mut Criterion) {
    let parameters = Parameters::default();
    let zone = SiteZone::from_setting(Some("Europe/Berlin"));
    let questions: Vec<_> = (0..BATCH).map(question).collect();

    let mut group = c.benchmark_group("scheduling");
    group.bench_function("answer", |b| {
        let (before, answer) = question(8);
        b.iter(|| {
            schedule(
                black_box(before),
                black_box(answer),
                black_box(NOW),
                &parameters,
            )
        });
    });
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    group.bench_function("batch of 50, settled", |b| {
        b.iter(|| {
            for &(before, answer) in black_box(&questions) {
                let after = schedule(before, answer, black_box(NOW), &parameters);
                black_box(zone.settle(after.due));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, scheduling);

fn main() -> Result<()> {
    benches();
    Criterion::default().configure_from_args().final_summary();
    let mut report = Report::new("scheduling");
    let each = (0..ROUNDS).map(|_| each_of_a_batch()).collect();
    let figure = Figure::new(
        "one state scheduled and settled in the site's zone",
        "ns",
        each,
    );
    report.figures.push(figure.bar(Bar::AtMost(200.0)));
    report.finish()
}

/// Nanoseconds for each state of a batch, in the mean of many batches.
fn each_of_a_batch() -> f64 {
    let parameters = Parameters::default();
    let zone = SiteZone::from_setting(Some("Europe/Berlin"));
    let questions: Vec<_> = (0..BATCH).map(question).collect();
    let start = Instant::now();
    for _ in 0..BATCHES {
        for &(before, answer) in black_box(&questions) {
            let after = schedule(before, answer, black_box(NOW), &parameters);
            black_box(zone.settle(after.due));
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(BATCH * BATCHES)
}
