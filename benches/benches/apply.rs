//! What does a worker's transaction cost: one submit of 50, and 64 of 20 at once?
//!
//! The submits themselves are not measured.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memora_benches::{Stage, answers, group, player, runtime};

fn apply(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = group(c, "apply");
    group.sample_size(10);
    for (jobs, size) in [(1, 50), (64, 20)] {
        let stage = runtime.block_on(async {
            let stage = Stage::new(true).await;
            for n in 0..jobs {
                stage.add_questions(&player(n), 128).await;
                stage.warm(&player(n)).await;
            }
            stage
        });
        group.throughput(Throughput::Elements((jobs * size) as u64));
        let id = BenchmarkId::from_parameter(format!("{jobs} of {size}"));
        group.bench_function(id, |b| {
            b.to_async(&runtime).iter_custom(|count| {
                let stage = &stage;
                async move {
                    let mut spent = Duration::ZERO;
                    for _ in 0..count {
                        for n in 0..jobs {
                            stage.submit(&player(n), &answers(size)).await;
                        }
                        let work = stage.waiting().await;
                        assert_eq!(work.len(), jobs);
                        let start = Instant::now();
                        stage.apply(&work).await;
                        spent += start.elapsed();
                    }
                    spent
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
