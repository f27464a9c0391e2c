//! How much of Redis' memory does a schedule take?

use std::io::{Write, stdout};

use anyhow::Result;
use memora_benches::report::{Bar, Figure, Report};
use memora_benches::{Stage, player, runtime, season};

fn main() -> Result<()> {
    runtime().block_on(async {
        let mut out = stdout();
        writeln!(out, "memory (MEMORY USAGE, bytes)")?;
        writeln!(out, "| questions | set | details | per question |")?;
        writeln!(out, "|---:|---:|---:|---:|")?;
        let stage = Stage::new(true).await;
        let mut report = Report::new("memory");
        let mut redis = stage.test.cache.connection().await;
        for (n, questions) in [20, 128, 1_000, 100_000].into_iter().enumerate() {
            let ann = player(n);
            stage.add_questions(&ann, questions).await;
            stage.warm(&ann).await;
            let keys = stage.site.cache.keys(&ann, &season());
            let mut sizes = [0_u64; 2];
            for (size, key) in sizes
                .iter_mut()
                .zip([keys.schedule.clone(), keys.details()])
            {
                *size = redis::cmd("MEMORY")
                    .arg("USAGE")
                    .arg(key)
                    .arg("SAMPLES")
                    .arg(0)
                    .query_async(&mut redis)
                    .await
                    .expect("MEMORY USAGE");
            }
            let [set, details] = sizes;
            let each = (set + details) as f64 / questions as f64;
            writeln!(out, "| {questions} | {set} | {details} | {each:.1} |")?;
            let of = |what| format!("{what} of a question, {questions} in the schedule");
            let details = details as f64 / questions as f64;
            let figure = Figure::new(of("details"), "bytes", vec![details]);
            let bar = (questions >= 1_000).then_some(Bar::AtMost(45.0));
            report.figures.push(Figure { bar, ..figure });
            let all = Figure::new(of("set and details"), "bytes", vec![each]);
            report.figures.push(all);
        }
        report.finish()
    })
}
