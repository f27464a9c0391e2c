//! How much of Redis' memory does a schedule take?

use std::io::{Result, Write, stdout};

use memora_benches::{Stage, player, runtime, season};

fn main() -> Result<()> {
    runtime().block_on(async {
        let mut out = stdout();
        writeln!(out, "memory (MEMORY USAGE, bytes)")?;
        writeln!(out, "| questions | set | details | per question |")?;
        writeln!(out, "|---:|---:|---:|---:|")?;
        let stage = Stage::new(true).await;
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
        }
        Ok(())
    })
}
