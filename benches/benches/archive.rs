//! How long does it take to archive a season of ten million rows, and what do students of
//! another season notice?
//!
//! A released sidecar and a released worker serve them, 200 requests a second at planned
//! times, half of them submits; first alone, then beside `memora-srs archive`, verification
//! included. Before that, partitions for new seasons are made in the same table. The
//! promises: a partition in under 1 s; archived in under 40 s by conversion, under 5 minutes
//! by copy; P99 < 100 ms and no request over 500 ms meanwhile.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use memora_benches::{SEASON, SUBMIT, machine, runtime};
use memora_tests::load::{self, Latencies};
use memora_tests::programs::{self, Start, released_binary};
use memora_tests::questions::{Season, question_id};
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Due, Http, Sidecar, Student, TestSite, Worker};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
/// The season that is archived.
const OLD: &str = "SEASON-2025";
/// Seasons that get a partition, one after the other.
const NEW_SEASONS: usize = 10;
/// Students who are served meanwhile.
const STUDENTS: usize = 200;
/// Answers of a submit.
const ANSWERS: usize = 5;
/// Connections of the load.
const CONNECTIONS: usize = 64;
/// A piece of the load; one begins whether the one before is answered or not.
const SLICE: Duration = Duration::from_secs(1);

/// A season goes into the archive.
#[derive(Parser)]
struct Archive {
    /// Students of the season that is archived.
    #[arg(long, default_value_t = 10_000)]
    students: usize,
    /// Rows of each.
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// convert or copy.
    #[arg(long, default_value = "convert")]
    method: String,
    /// Requests a second meanwhile.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of the same load without anything else.
    #[arg(long, default_value_t = 15)]
    idle: u64,
    /// MariaDB's buffer pool in MiB. Ten million rows take 4.3 GiB in the tracker, 5.2 in the archive.
    #[arg(long, default_value_t = 8192)]
    buffer_pool: u32,
    /// MariaDB's `innodb_sort_buffer_size` in MiB, by which the archive's indexes are built: 1
    /// where nobody sets it, 64 at most.
    #[arg(long, default_value_t = 1)]
    sort_buffer: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Archive::parse()))
}

async fn run(archive: &Archive) -> Result<()> {
    let program = released_binary()?;
    let mut out = stdout();
    let began = Instant::now();
    let (test, students) = furnish(archive).await?;
    let rows = archive.students * archive.questions;
    let took = began.elapsed().as_secs_f64();
    writeln!(out, "{rows} rows made in {took:.0} s")?;
    let start = Start {
        program: Some(program),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let _worker = Worker::start_with(&test, &start)?;
    let crowd = Arc::new(Crowd {
        clients: (0..CONNECTIONS).map(|_| sidecar.http(&test)).collect(),
        students,
    });
    for n in 0..STUDENTS {
        // The first read fills, and the second finds it filled or comes from the table.
        crowd.ask(2 * n as u64).await?;
    }

    let idle_for = Duration::from_secs(archive.idle);
    let idle = beside(&crowd, archive.rate, sleep(idle_for)).await.1;
    let (made, creating) = beside(&crowd, archive.rate, partitions(&test, &start)).await;
    let made = Latencies::new(made?);
    let command = start.args(&[
        "--season",
        OLD,
        "--yes",
        "--json",
        "--method",
        &archive.method,
    ]);
    let (report, busy) = beside(
        &crowd,
        archive.rate,
        programs::run(&test, &command, "archive"),
    )
    .await;
    let report: Value = serde_json::from_str(&report?).context("the report")?;
    ensure!(report["records_archived"] == rows, "{report}");

    writeln!(
        out,
        "archive of {rows} rows by {}, {} requests a second meanwhile, buffer pool {} MiB, sort buffer {} \
         MiB; {}",
        archive.method,
        archive.rate,
        archive.buffer_pool,
        archive.sort_buffer,
        machine()
    )?;
    writeln!(
        out,
        "took {:.1} s",
        report["seconds"].as_f64().unwrap_or(0.0)
    )?;
    writeln!(
        out,
        "{NEW_SEASONS} partitions made, one command each: {made}"
    )?;
    writeln!(
        out,
        "| students (ms) | answered | failed | P50 | P99 | max | latest start |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|")?;
    let all = [
        ("alone", idle),
        ("while partitions are made", creating),
        ("while the season is archived", busy),
    ];
    for (name, reports) in all {
        let all = Latencies::of_all(reports.iter().map(|r| &r.latencies));
        let failed: u64 = reports.iter().map(|r| r.failed + r.unanswered).sum();
        let late = reports
            .iter()
            .map(|r| r.latest_start)
            .max()
            .unwrap_or_default();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        writeln!(
            out,
            "| {name} | {} | {failed} | {:.1} | {:.1} | {:.1} | {:.1} |",
            all.count(),
            ms(all.percentile(50.0)),
            ms(all.percentile(99.0)),
            ms(all.max()),
            ms(late)
        )?;
        if let Some(reason) = reports.iter().find_map(|r| r.first_failure.as_ref()) {
            writeln!(out, "first failure: {reason}")?;
        }
    }
    Ok(())
}

async fn furnish(archive: &Archive) -> Result<(TestSite, Vec<Student>)> {
    let test = TestSite::builder()
        .own_mariadb_with(MariaDbOptions {
            buffer_pool_mb: archive.buffer_pool,
            log_file_mb: 2048,
            extra: vec![format!(
                "--innodb-sort-buffer-size={}M",
                archive.sort_buffer
            )],
        })
        .own_cache()
        .own_queue()
        // As they are where nobody sets them.
        .config("srs_state_budget_ms", json!(100))
        .config("srs_journal_budget_ms", json!(150))
        .try_build()
        .await?;
    let closed = Season {
        is_active: false,
        ..Season::default()
    };
    test.add_season_with(OLD, closed).await;
    let absent = |n: usize| Student {
        name: format!("gone-{n:06}@example.com"),
        api_key: String::new(),
        api_secret: String::new(),
        sid: String::new(),
    };
    let gone: Vec<Student> = (0..archive.students).map(absent).collect();
    test.add_questions_to_all(&gone, OLD, archive.questions, archive.questions / 10)
        .await;
    test.add_season(SEASON).await;
    let names: Vec<String> = (0..STUDENTS)
        .map(|n| format!("student-{n:06}@example.com"))
        .collect();
    let students = test.add_students(&names).await;
    for student in &students {
        test.add_questions(&student.name, SEASON, 100, Due::First(50))
            .await;
    }
    Ok((test, students))
}

/// Makes a partition for each of some new seasons; the microseconds that each command took.
async fn partitions(test: &TestSite, start: &Start) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    for n in 0..NEW_SEASONS {
        let season = format!("SEASON-NEW-{n}");
        test.exec(
            "INSERT INTO `tabGame Subscription Season` (name, creation, modified, owner, \
             modified_by, season_name, title, start_date, end_date, is_active) \
             VALUES (?, NOW(6), NOW(6), 'Administrator', 'Administrator', ?, ?, \
             '2030-01-01', '2030-12-31', 0)",
            (&season, &season, &season),
        )
        .await;
        let command = start.clone().args(&["--season", &season, "--json"]);
        let began = Instant::now();
        let report = programs::run_in(test, &command, "partition", "create").await?;
        took.push(began.elapsed().as_micros() as u64);
        let report: Value = serde_json::from_str(&report).context("the report")?;
        ensure!(report["created"] == true, "{report}");
    }
    Ok(took)
}

/// Runs `work` beside the load; what came of it, and of each second of the load.
async fn beside<T>(
    crowd: &Arc<Crowd>,
    rate: f64,
    work: impl Future<Output = T>,
) -> (T, Vec<load::Report>) {
    let mut slices = Vec::new();
    tokio::pin!(work);
    let mut next = Instant::now();
    let done = loop {
        let crowd = crowd.clone();
        let first = (slices.len() as f64 * rate * SLICE.as_secs_f64()) as u64;
        slices.push(tokio::spawn(load::run(rate, SLICE, move |n| {
            let crowd = crowd.clone();
            async move { crowd.ask(first + n).await }
        })));
        next += SLICE;
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep_until(next) => {}
        }
    };
    let mut reports = Vec::new();
    for slice in slices {
        reports.push(slice.await.expect("a second of load"));
    }
    (done, reports)
}

/// Who is served meanwhile.
struct Crowd {
    clients: Vec<Http>,
    students: Vec<Student>,
}

impl Crowd {
    /// The `n`th request: reads and submits in turn, each student in turn.
    async fn ask(&self, n: u64) -> Result<()> {
        let n = n as usize;
        let student = &self.students[n / 2 % self.students.len()];
        let http = &self.clients[n % self.clients.len()];
        let answer = if n.is_multiple_of(2) {
            http.get(READ).cookie(student).try_send().await?
        } else {
            let responses: Value = (0..ANSWERS)
                .map(|i| json!({"question_id": question_id((n + i) % 100), "quality": 4}))
                .collect();
            let body = json!({ "responses": responses });
            http.post(SUBMIT)
                .token(student)
                .json(&body)
                .try_send()
                .await?
        };
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    }
}
