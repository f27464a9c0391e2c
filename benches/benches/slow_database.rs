//! How long does a submit of 50 answers take while MariaDB answers after five seconds?
//!
//! Over HTTP at a planned rate, latencies from the planned start, with the details of each
//! student in the cache and without; before that the same on a healthy MariaDB, reached
//! through the same proxy. The promise is P99 < 500 ms.

use std::future::pending;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use memora_benches::{SEASON, SUBMIT, Stage, player, runtime, season};
use memora_core::services::Sites;
use memora_sidecar::server;
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::questions::question_id;
use memora_tests::{Http, Student, load};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const ANSWERS: usize = 50;
const QUESTIONS: usize = 100;
const STUDENTS: usize = 200;
/// Each student submits once in a run.
const RATE: f64 = 20.0;
const CONNECTIONS: usize = 64;
const SLOW: Duration = Duration::from_secs(5);

fn main() -> std::io::Result<()> {
    runtime().block_on(async {
        let mut stage = Stage::new(true).await;
        let proxy = Proxy::start(stage.test.mariadb.port()).await;
        stage.test.set_config("db_port", json!(proxy.port()));
        // As they are where nobody sets them.
        stage.test.set_config("srs_state_budget_ms", json!(100));
        stage.test.set_config("srs_journal_budget_ms", json!(150));
        stage.site = stage.test.site().await;
        let mut students = Vec::new();
        for n in 0..STUDENTS {
            let player = player(n);
            students.push(stage.test.add_student(player.as_str()).await);
            stage.add_questions(&player, QUESTIONS).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let sites = Arc::new(Sites::new(&stage.test.sites_path));
        let options = server::Options::default();
        tokio::spawn(server::run(listener, sites, options, pending()));
        let clients = (0..CONNECTIONS).map(|_| Http::new(address, &stage.test.name));
        let clients: Arc<Vec<Http>> = Arc::new(clients.collect());
        let students = Arc::new(students);
        for student in students.iter() {
            clients[0].get(READ).cookie(student).send().await.message();
        }

        let mut out = stdout();
        writeln!(
            out,
            "submits of {ANSWERS}, {RATE} a second, season {SEASON} (ms)"
        )?;
        writeln!(
            out,
            "| MariaDB | details | answered | degraded | failed | P50 | P99 | max | latest |"
        )?;
        writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for (name, fault) in [("healthy", Fault::None), ("5 s", Fault::Delay(SLOW))] {
            for cached in [true, false] {
                proxy.set(Fault::None);
                prepare(&stage, cached).await;
                proxy.set(fault);
                let (report, degraded) = drive(&clients, &students).await;
                let ms = |d: Duration| d.as_secs_f64() * 1e3;
                let latencies = &report.latencies;
                writeln!(
                    out,
                    "| {name} | {} | {} | {degraded} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                    if cached { "cached" } else { "not cached" },
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

/// Every schedule complete, or none there; nothing waits in the journal.
async fn prepare(stage: &Stage, cached: bool) {
    loop {
        stage.forget_submits().await;
        if matches!(stage.site.unjournaled.are_there().await, Ok(false)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for n in 0..STUDENTS {
        let player = player(n);
        let dropped = stage.site.cache.invalidate(&player, &season()).await;
        dropped.expect("a schedule dropped");
        if cached {
            stage.warm(&player).await;
        }
    }
}

async fn drive(clients: &Arc<Vec<Http>>, students: &Arc<Vec<Student>>) -> (load::Report, usize) {
    let (clients, students) = (clients.clone(), students.clone());
    let degraded = Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = degraded.clone();
    let responses: Value = (0..ANSWERS)
        .map(|i| json!({"question_id": question_id(i), "quality": 4, "response_time_ms": 4000}))
        .collect();
    let body = json!({ "responses": responses });
    let duration = Duration::from_secs_f64(STUDENTS as f64 / RATE);
    let report = load::run(RATE, duration, move |n| {
        let (clients, students) = (clients.clone(), students.clone());
        let (body, count) = (body.clone(), count.clone());
        async move {
            let client = &clients[n as usize % CONNECTIONS];
            let student = &students[n as usize % STUDENTS];
            let sent = client.post(SUBMIT).token(student).json(&body).try_send();
            let answer = sent.await.map_err(|e| format!("{e:#}"))?;
            if answer.status.as_u16() != 200 {
                return Err(format!("{}: {}", answer.status, answer.text()));
            }
            if answer.message()["is_degraded"] == true {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        }
    })
    .await;
    (report, degraded.load(std::sync::atomic::Ordering::Relaxed))
}
