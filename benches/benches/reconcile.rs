//! How long does it take to compare 10,000 items of a table of 10,000,000 rows, and what do
//! students notice?
//!
//! The released `memora-srs reconcile` is run again and again as a process of its own while
//! a released sidecar and a worker serve reads and submits at a planned rate. The promises:
//! under 2 s a run; P99 under 100 ms and no request over 500 ms; no discrepancy.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::{SUBMIT, machine, runtime, season};
use memora_core::services::fill;
use memora_tests::load;
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::{Http, Sidecar, Student, TestSite, Worker};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
/// Answers of one submit.
const ANSWERS: usize = 20;

/// Reconciliation under load.
#[derive(Parser)]
struct Reconcile {
    /// Students, all cached.
    #[arg(long, default_value_t = 10_000)]
    students: usize,
    /// Tracked questions of each.
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// Items of one run.
    #[arg(long, default_value_t = 10_000)]
    sample: u64,
    /// Requests a second: reads and submits of 20 answers in turn.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of load, with a run every three.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// MariaDB's buffer pool in MiB.
    #[arg(long, default_value_t = 4096)]
    buffer_pool: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Reconcile::parse()))
}

async fn run(options: &Reconcile) -> Result<()> {
    let start = Start {
        program: Some(released_binary()?),
        ..Start::default()
    };
    let mut out = stdout();
    let began = Instant::now();
    let (test, students) = furnish(options).await?;
    writeln!(
        out,
        "{} students of {} questions made and cached in {:.0} s",
        students.len(),
        options.questions,
        began.elapsed().as_secs_f64()
    )?;
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let _worker = Worker::start_with(&test, &start)?;
    // A first run without load, which finds MariaDB's pages where they lie.
    let first = reconcile(&test, &start, options.sample).await?;
    show(&mut out, "alone", &first)?;

    let students = Arc::new(students);
    let load = {
        let (address, host, due) = (sidecar.address, test.name.clone(), options.questions);
        let duration = Duration::from_secs(options.seconds);
        tokio::spawn(load::run(options.rate, duration, move |n| {
            let (students, http) = (students.clone(), Http::new(address, &host));
            async move { request(&students, &http, n as usize, due).await }
        }))
    };
    let until = Instant::now() + Duration::from_secs(options.seconds.saturating_sub(3));
    let mut slowest: f64 = 0.0;
    while Instant::now() < until {
        let report = reconcile(&test, &start, options.sample).await?;
        show(&mut out, "under load", &report)?;
        slowest = slowest.max(report["seconds"].as_f64().unwrap_or(f64::MAX));
        ensure!(report["discrepancies_found"] == 0, "false discrepancies");
        sleep(Duration::from_secs(3)).await;
    }
    let busy = machine();
    let report = load.await?;
    writeln!(
        out,
        "reconciliation: {} items of {} rows, {} requests/s, buffer pool {} MiB; {busy}",
        options.sample,
        options.students * options.questions,
        options.rate,
        options.buffer_pool
    )?;
    let ms = |percent| report.latencies.percentile(percent).as_secs_f64() * 1e3;
    writeln!(out, "| what | measured | promised |")?;
    writeln!(out, "|---|---:|---:|")?;
    writeln!(out, "| slowest run | {slowest:.2} s | under 2 s |")?;
    writeln!(
        out,
        "| P99 of requests | {:.1} ms | under 100 ms |",
        ms(99.0)
    )?;
    writeln!(
        out,
        "| slowest request | {:.1} ms | under 500 ms |",
        ms(100.0)
    )?;
    writeln!(out, "{}", report.latencies)?;
    writeln!(
        out,
        "failed {} ({:?}), unanswered {}, generator late by {:.1} ms at most",
        report.failed,
        report.first_failure,
        report.unanswered,
        report.latest_start.as_secs_f64() * 1e3
    )?;
    Ok(())
}

fn show(out: &mut impl Write, how: &str, report: &Value) -> Result<()> {
    writeln!(
        out,
        "{how}: {} compared of {} students in {} s ({} s with the program's start), {} wrong, {} in flight",
        report["compared"],
        report["students"],
        report["seconds"],
        report["all_seconds"],
        report["discrepancies_found"],
        report["in_flight"]
    )?;
    Ok(out.flush()?)
}

async fn reconcile(test: &TestSite, start: &Start, sample: u64) -> Result<Value> {
    let (site, sample) = (test.name.as_str(), sample.to_string());
    let args = ["--site", site, "--sample-size", &sample, "--json"];
    let mut command = start.clone().args(&args).command("reconcile", test)?;
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let seconds = began.elapsed().as_secs_f64();
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    let mut report: Value = serde_json::from_slice(&output.stdout).with_context(said)?;
    report["all_seconds"] = json!((seconds * 1000.0).round() / 1000.0);
    Ok(report)
}

async fn request(
    students: &[Student],
    http: &Http,
    n: usize,
    questions: usize,
) -> Result<(), String> {
    let student = &students[(n / 2 * 7919) % students.len()];
    let answer = if n.is_multiple_of(2) {
        http.get(READ).token(student).send().await
    } else {
        let first = n * ANSWERS;
        let responses: Value = (first..first + ANSWERS)
            .map(|i| json!({"question_id": question_id(i % questions), "quality": 4, "response_time_ms": 4000}))
            .collect();
        let body = json!({"responses": responses, "submission_id": format!("s-{n}")});
        http.post(SUBMIT).token(student).json(&body).send().await
    };
    match answer.status.as_u16() {
        200 => Ok(()),
        status => Err(format!("{status}: {}", answer.text())),
    }
}

async fn furnish(options: &Reconcile) -> Result<(TestSite, Vec<Student>)> {
    let (test, students) = crowd::furnish(Size {
        students: options.students,
        questions: options.questions,
        due: 100,
        buffer_pool_mb: options.buffer_pool,
    })
    .await?;
    let site = test.site().await;
    let mut filling = tokio::task::JoinSet::new();
    for student in &students {
        if filling.len() >= 4 {
            filling.join_next().await.context("a fill")???;
        }
        let (site, player) = (site.clone(), student.player());
        filling.spawn(async move { fill::run(&site, &player, &season(), &[]).await });
    }
    while let Some(filled) = filling.join_next().await {
        filled??;
    }
    Ok((test, students))
}
