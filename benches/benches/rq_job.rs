//! What does it cost to write a batch as an RQ job, and to read one back?
//!
//! A submit pays for the first on its way to the queue, a worker for the second.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memora_core::batch::{Attempt, Batch, Before, Door, Item, Submission, SubmissionKey};
use memora_core::queue::{PersistCall, encode_data};
use memora_core::types::{Player, Season, SubmissionId};

const NOW: i64 = 1_768_816_800_000_000;

fn item(index: i64) -> Item {
    Item {
        question_id: format!("STAGE-{:08x}:{index}", index * 7_919),
        quality: Some((index % 6) as u8),
        response_time_ms: Some(1_500 + index as u32 * 137),
        xp: 20,
        raw: false,
        new_stability: 1.0 + index as f64 / 17.0,
        new_next_review_date: "2026-01-26T10:00:00".to_owned(),
        due_us: NOW + 604_800_000_000 + index * 3_600_000_000,
        last_review_us: NOW,
        review_version: NOW + index,
        subject: Some("921sb69d87".to_owned()),
        topic: Some("921tekj4jm".to_owned()),
        before: Some(Before {
            stability: 1.0 + index as f64 / 19.0,
            due_us: NOW - 86_400_000_000,
            last_review_us: Some(NOW - 604_800_000_000),
            review_version: NOW - 604_800_000_000,
        }),
    }
}

fn submission(answers: i64) -> Submission {
    Submission {
        key: SubmissionKey {
            player: Player::stored("student-000042@example.com"),
            submission: SubmissionId::generate(),
        },
        season: Season::stored("SEASON-2026"),
        attempt: Attempt([7; 16]),
        fingerprint: [9; 32],
        batch: Batch::new(Door::Http, NOW, (0..answers).map(item).collect()),
    }
}

fn jobs(c: &mut Criterion) {
    let id = "srs.localhost||srs_persist_bf71d365775a172fd073";
    let mut group = c.benchmark_group("rq_job");
    for answers in [20, 50] {
        let submission = submission(answers);
        let encode = || encode_data("srs.localhost", id, black_box(&submission)).expect("a job");
        let data = encode();
        group.throughput(Throughput::Elements(answers as u64));
        group.bench_function(BenchmarkId::new("encode", answers), |b| b.iter(encode));
        group.bench_function(BenchmarkId::new("decode", answers), |b| {
            b.iter(|| {
                PersistCall::from_data(id, black_box(&data), None)
                    .expect("a call")
                    .submission()
                    .expect("a batch")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, jobs);
criterion_main!(benches);
