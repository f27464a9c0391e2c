//! What does a read cost: warm, from the table, and the fill that makes it warm?
//!
//! Beside each the statement that nobody can do without, on a connection of its own: the
//! ratio says what the engine adds, whatever else the machine does meanwhile.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use memora_benches::{DUE, SEASON, Stage, group, player, runtime};
use memora_core::types::UtcMicros;

const DUE_ROWS: &str = "SELECT question_id FROM `tabPlayer Memory Tracker` \
    WHERE player = ? AND season = ? AND next_review_date <= ? \
    ORDER BY next_review_date LIMIT ?";

fn warm(c: &mut Criterion) {
    let runtime = runtime();
    let ann = player(1);
    let stage = runtime.block_on(async {
        let stage = Stage::new(true).await;
        stage.add_questions(&ann, 1_000).await;
        stage.warm(&ann).await;
        stage
    });
    let mut group = group(c, "warm read");
    group.bench_function("get_review_session", |b| {
        b.to_async(&runtime).iter(|| stage.read(&ann));
    });
    let key = stage
        .site
        .cache
        .keys(&ann, &memora_benches::season())
        .schedule;
    let redis = runtime.block_on(stage.test.cache.connection());
    group.bench_function("bare ZRANGEBYSCORE", |b| {
        b.to_async(&runtime).iter(|| async {
            let page: Vec<(String, f64)> = redis::cmd("ZRANGEBYSCORE")
                .arg(&key)
                .arg("-inf")
                .arg(UtcMicros::now().to_score())
                .arg("WITHSCORES")
                .arg("LIMIT")
                .arg(0)
                .arg(DUE)
                .query_async(&mut redis.clone())
                .await
                .expect("a page");
            assert_eq!(page.len(), DUE);
        });
    });
    group.finish();
}

fn cold(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = group(c, "cold read");
    group.sample_size(10);
    for rows in [1_000, 100_000] {
        let ann = player(1);
        let stage = runtime.block_on(async {
            let stage = Stage::new(false).await;
            stage.add_questions(&ann, rows).await;
            stage
        });
        group.bench_function(BenchmarkId::new("get_review_session", rows), |b| {
            b.to_async(&runtime).iter(|| stage.read(&ann));
        });
        let wall = stage.test.wall(chrono::Utc::now());
        group.bench_function(BenchmarkId::new("bare SELECT", rows), |b| {
            b.to_async(&runtime).iter(|| async {
                let params = (ann.as_str(), SEASON, wall, DUE);
                let page: Vec<String> = stage.test.query(DUE_ROWS, params).await;
                assert_eq!(page.len(), DUE);
            });
        });
        group.bench_function(BenchmarkId::new("fill", rows), |b| {
            b.to_async(&runtime).iter(|| stage.warm(&ann));
        });
        let redis = runtime.block_on(stage.test.cache.connection());
        let key = stage
            .site
            .cache
            .keys(&ann, &memora_benches::season())
            .schedule;
        let members: Vec<(String, f64)> = runtime.block_on(async {
            redis::cmd("ZRANGE")
                .arg(&[&key, "0", "-1", "WITHSCORES"])
                .query_async(&mut redis.clone())
                .await
                .expect("the members of the schedule")
        });
        group.bench_function(BenchmarkId::new("bare pipeline of ZADDs", rows), |b| {
            b.to_async(&runtime).iter(|| async {
                let mut zadds = redis::pipe();
                zadds.cmd("DEL").arg("bare");
                // As many at once as a fill has.
                for chunk in members.chunks(500) {
                    let zadd = zadds.cmd("ZADD").arg("bare");
                    for (member, score) in chunk {
                        zadd.arg(score).arg(member);
                    }
                }
                let replies = zadds.exec_async(&mut redis.clone()).await;
                replies.expect("ZADDs");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, warm, cold);
criterion_main!(benches);
