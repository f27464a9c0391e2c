//! What does a warm read take over HTTP at a given rate?
//!
//! Load at a planned rate, latencies from the planned start; `/healthz`, which asks no
//! server, at the same rate right before. Load generator, sidecar and servers share the
//! machine: the ratio tells more than the figures.

use std::future::pending;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use memora_benches::{Stage, player, runtime};
use memora_core::services::Sites;
use memora_sidecar::server;
use memora_tests::{Http, Student, load};
use tokio::net::TcpListener;

const PATHS: [&str; 2] = [
    "/healthz",
    "/api/method/memora.api.reviews.get_review_session?limit=20",
];
const RATES: [f64; 3] = [500.0, 2_000.0, 5_000.0];
const DURATION: Duration = Duration::from_secs(4);
const CONNECTIONS: u64 = 64;

fn main() -> std::io::Result<()> {
    runtime().block_on(async {
        let stage = Stage::new(true).await;
        let ann = player(1);
        let student = stage.test.add_student(ann.as_str()).await;
        stage.add_questions(&ann, 1_000).await;
        stage.warm(&ann).await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let sites = Arc::new(Sites::new(&stage.test.sites_path));
        let options = server::Options::default();
        tokio::spawn(server::run(listener, sites, options, pending()));

        let clients: Arc<Vec<Http>> = Arc::new(
            (0..CONNECTIONS)
                .map(|_| Http::new(address, &stage.test.name))
                .collect(),
        );
        // Connections, login and statements are warm too.
        for path in PATHS {
            drive(&clients, &student, path, 200.0, Duration::from_secs(1)).await;
        }
        let mut out = stdout();
        writeln!(out, "http (ms; latest: how late the generator itself was)")?;
        writeln!(
            out,
            "| req/s | path | answered | failed | P50 | P99 | max | latest |"
        )?;
        writeln!(out, "|---:|---|---:|---:|---:|---:|---:|---:|")?;
        for rate in RATES {
            for path in PATHS {
                let report = drive(&clients, &student, path, rate, DURATION).await;
                let ms = |d: Duration| d.as_secs_f64() * 1e3;
                let latencies = &report.latencies;
                writeln!(
                    out,
                    "| {rate} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                    path.rsplit(['/', '.']).next().unwrap_or(path),
                    latencies.count(),
                    report.failed + report.unanswered,
                    ms(latencies.percentile(50.0)),
                    ms(latencies.percentile(99.0)),
                    ms(latencies.max()),
                    ms(report.latest_start),
                )?;
                if let Some(reason) = report.first_failure {
                    writeln!(out, "first failure: {reason}")?;
                }
            }
        }
        Ok(())
    })
}

async fn drive(
    clients: &Arc<Vec<Http>>,
    student: &Student,
    path: &'static str,
    rate: f64,
    duration: Duration,
) -> load::Report {
    let (clients, student) = (clients.clone(), student.clone());
    load::run(rate, duration, move |n| {
        let (clients, student) = (clients.clone(), student.clone());
        async move {
            let client = &clients[(n % CONNECTIONS) as usize];
            let answer = client.get(path).cookie(&student).try_send().await;
            let answer = answer.map_err(|e| format!("{e:#}"))?;
            if answer.status.as_u16() == 200 {
                Ok(())
            } else {
                Err(format!("{}: {}", answer.status, answer.text()))
            }
        }
    })
    .await
}
