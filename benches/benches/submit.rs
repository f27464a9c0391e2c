//! What does a submit of 50 answers cost, with the details in the cache and without?
//!
//! Beside it one bare INSERT of about the same size, committed and synced: what being
//! durable costs by itself.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use memora_benches::{Stage, answers, group, player, runtime};

const ANSWERS: usize = 50;
/// About what a batch of 50 takes in the journal.
const PAYLOAD: usize = 12 * 1024;

fn submit(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = group(c, "submit of 50");
    for (name, cached) in [("warm", true), ("cold", false)] {
        let ann = player(1);
        let stage = runtime.block_on(async {
            let stage = Stage::new(cached).await;
            stage.add_questions(&ann, 1_000).await;
            if cached {
                stage.warm(&ann).await;
            }
            stage
        });
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter_custom(|count| {
                let (stage, ann) = (&stage, &ann);
                async move {
                    let mut spent = Duration::ZERO;
                    for _ in 0..count {
                        let request = answers(ANSWERS);
                        let start = Instant::now();
                        stage.submit(ann, &request).await;
                        spent += start.elapsed();
                        // Nothing else is waiting: no overlay to lay over the table.
                        stage.forget_submits().await;
                    }
                    spent
                }
            });
        });
    }
    let stage = runtime.block_on(async {
        let stage = Stage::new(true).await;
        let table = "CREATE TABLE bare (id INT AUTO_INCREMENT PRIMARY KEY, payload MEDIUMBLOB)";
        stage.test.exec(table, ()).await;
        stage
    });
    let payload = vec![b'x'; PAYLOAD];
    group.bench_function("bare INSERT", |b| {
        b.to_async(&runtime).iter(|| {
            let insert = "INSERT INTO bare (payload) VALUES (?)";
            stage.test.exec(insert, (payload.clone(),))
        });
    });
    group.finish();
}

criterion_group!(benches, submit);
criterion_main!(benches);
