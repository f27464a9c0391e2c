//! Ten thousand students are there at once, each with a login and a connection of their own:
//! what do they notice, and what does the machine need?
//!
//! They read once and submit twenty answers once a minute, each at moments of their own. What
//! the sidecar knows of a login it believes for seconds, so nearly each request has it looked up
//! again; sessions that were extended ten minutes ago are extended meanwhile. A worker applies
//! what they submit. Then all of them read within ten seconds. Sidecar and worker are the
//! released program; load generator and servers are on the same machine.

use std::io::{Write, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::report::{Bar, Figure, Plot, Report};
use memora_benches::{SUBMIT, runtime};
use memora_tests::load::Latencies;
use memora_tests::process::allow_open_files;
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::usage::{cpu_seconds, most_resident_bytes, resident_bytes};
use memora_tests::visits::{self, Plan, Visit};
use memora_tests::wire::request;
use memora_tests::{Sidecar, Student, TestSite, Worker};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
const ANSWERS: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// First reads come at so many a second: they fill the cache, which is not what is measured.
const FIRST_READS: f64 = 500.0;
/// Between two parts.
const PAUSE: Duration = Duration::from_secs(5);
/// Within which all read at once.
const BURST: Duration = Duration::from_secs(10);
/// Files that a process has open beside its connections.
const OTHER_FILES: u64 = 2_000;
const MIB: f64 = 1024.0 * 1024.0;

/// What a visit is for.
const WARM: usize = 0;
const AT_PACE: usize = 1;
const TO_SUBMIT: usize = 2;
const IN_BURST: usize = 3;

/// Students at human pace.
#[derive(Parser)]
struct Bench {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    students: usize,
    /// Tracked questions of each.
    #[arg(long, default_value_t = 100)]
    questions: usize,
    /// Minutes at human pace.
    #[arg(long, default_value_t = 2)]
    minutes: u32,
    /// MariaDB's buffer pool in MiB.
    #[arg(long, default_value_t = 2048)]
    buffer_pool: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Bench::parse()))
}

async fn run(bench: &Bench) -> Result<()> {
    // The sidecar is a child and may have as many.
    allow_open_files(bench.students as u64 + OTHER_FILES)?;
    let start = Start {
        program: Some(released_binary()?),
        ..Start::default()
    };
    let mut out = stdout();
    let began = Instant::now();
    let (test, students) = crowd::furnish(Size {
        students: bench.students,
        questions: bench.questions,
        // The page stays full while they answer.
        due: bench.questions - bench.questions / 10,
        buffer_pool_mb: bench.buffer_pool,
    })
    .await?;
    let made = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "{} students of {} questions made in {made:.0} s",
        bench.students, bench.questions
    )?;
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let worker = Worker::start_with(&test, &start)?;
    let plan = Arc::new(Day::new(bench, &test, students));
    let pids = [
        ("sidecar", sidecar.process.id()),
        ("worker", worker.process.id()),
        ("MariaDB", test.mariadb.pid()),
        ("Redis (cache)", test.cache.server.pid()),
        ("Redis (queue)", test.queue.server.pid()),
        ("load generator", std::process::id()),
    ];
    let before = resident_bytes(sidecar.process.id());
    let used = Arc::<Mutex<Vec<f64>>>::default();
    let started = {
        let (used, pace) = (used.clone(), plan.pace.clone());
        move |start: Instant| {
            tokio::spawn(async move {
                let mut cpu = Vec::new();
                for at in [pace.start, pace.end] {
                    sleep_until(start + at).await;
                    cpu.push(pids.map(|(_, pid)| cpu_seconds(pid)));
                }
                let of_each = cpu[1].iter().zip(&cpu[0]).map(|(b, a)| b - a).collect();
                *used.lock().unwrap_or_else(PoisonError::into_inner) = of_each;
            });
        }
    };
    let seen = visits::run(sidecar.address, bench.students, plan.clone(), started).await?;
    for (visit, reason) in seen.failed.iter().take(5) {
        writeln!(out, "failed at {:.1} s: {reason}", visit.at.as_secs_f64())?;
    }

    let mut report = Report::new("students");
    let ms = |latencies: &Latencies, percent| latencies.percentile(percent).as_secs_f64() * 1e3;
    let minutes: Vec<_> = (0..bench.minutes)
        .map(|m| plan.pace.start + MINUTE * m..plan.pace.start + MINUTE * (m + 1))
        .collect();
    for (what, kind, bar) in [("read", AT_PACE, 20.0), ("submit of 20", TO_SUBMIT, 100.0)] {
        let by_minute: Vec<Latencies> = minutes
            .iter()
            .map(|minute| seen.latencies(|v| v.kind == kind && minute.contains(&v.at)))
            .collect();
        let figure = |name: &str, percent| {
            let rounds = by_minute.iter().map(|minute| ms(minute, percent)).collect();
            Figure::new(format!("{what} at human pace, {name}"), "ms", rounds)
        };
        report.figures.push(figure("P50", 50.0));
        report
            .figures
            .push(figure("P99", 99.0).bar(Bar::AtMost(bar)));
        report.figures.push(figure("max", 100.0));
        writeln!(out, "{what}: {}", Latencies::of_all(&by_minute))?;
    }
    let failures = |kinds: &[usize]| {
        let failed = seen.failures(|visit| kinds.contains(&visit.kind));
        vec![failed as f64]
    };
    let errors = failures(&[WARM, AT_PACE, TO_SUBMIT]);
    report
        .figures
        .push(Figure::new("errors until then", "", errors).bar(Bar::AtMost(0.0)));
    let burst = seen.latencies(|visit| visit.kind == IN_BURST);
    writeln!(out, "all read within 10 s: {burst}")?;
    for (name, percent, bar) in [
        ("P50", 50.0, None),
        ("P99", 99.0, Some(Bar::AtMost(100.0))),
        ("max", 100.0, None),
    ] {
        let figure = Figure::new(
            format!("read when all do within 10 s, {name}"),
            "ms",
            vec![ms(&burst, percent)],
        );
        report.figures.push(Figure { bar, ..figure });
    }
    let errors = failures(&[IN_BURST]);
    report
        .figures
        .push(Figure::new("errors then", "", errors).bar(Bar::AtMost(0.0)));

    let most = most_resident_bytes(sidecar.process.id()) as f64;
    report.figures.push(
        Figure::new("sidecar, resident at most", "MiB", vec![most / MIB]).bar(Bar::AtMost(256.0)),
    );
    let each = (most - before as f64) / bench.students as f64 / 1024.0;
    let each = Figure::new("of it for each student", "KiB", vec![each]);
    report.figures.push(each);
    let submitted = seen.latencies(|visit| visit.kind == TO_SUBMIT).count();
    report.figures.extend(applied(&test, submitted).await?);
    let used = used.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let time = (plan.pace.end - plan.pace.start).as_secs_f64();
    for ((name, _), seconds) in pids.iter().zip(used) {
        let what = format!("{name}, of one processor");
        let figure = Figure::new(what, "%", vec![seconds * 100.0 / time]);
        report.figures.push(figure);
    }
    report.plots.push(curves(&seen));
    report.finish()
}

/// Who does what when.
struct Day {
    students: Vec<Student>,
    questions: usize,
    /// Header of everybody's.
    host: String,
    warm: Duration,
    /// From when to when they are at human pace.
    pace: std::ops::Range<Duration>,
}

impl Day {
    fn new(bench: &Bench, test: &TestSite, students: Vec<Student>) -> Self {
        let warm = Duration::from_secs_f64(bench.students as f64 / FIRST_READS);
        let start = warm + PAUSE;
        Self {
            students,
            questions: bench.questions,
            host: format!("Host: {}", test.name),
            warm,
            pace: start..start + MINUTE * bench.minutes,
        }
    }

    /// A share between 0 and 1 that is the same each time, and another for each student and `part`.
    fn share(n: usize, part: u64) -> f64 {
        let mut z = (n as u64) << 8 | part;
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            z = (z ^ (z >> 30)).wrapping_mul(factor);
        }
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Plan for Day {
    fn visits(&self, n: usize) -> Vec<Visit> {
        let visit = |at, kind| Visit { at, kind };
        let mut visits = vec![visit(self.warm.mul_f64(Self::share(n, 0)), WARM)];
        // Half a minute lies between somebody's read and the submit after it.
        let read = MINUTE.mul_f64(Self::share(n, 1));
        let half = MINUTE / 2;
        let (first, second) = match read < half {
            true => ((read, AT_PACE), (read + half, TO_SUBMIT)),
            false => ((read - half, TO_SUBMIT), (read, AT_PACE)),
        };
        let mut minute = self.pace.start;
        while minute < self.pace.end {
            for (at, kind) in [first, second] {
                visits.push(visit(minute + at, kind));
            }
            minute += MINUTE;
        }
        let burst = self.pace.end + PAUSE;
        visits.push(visit(burst + BURST.mul_f64(Self::share(n, 2)), IN_BURST));
        visits
    }

    fn request(&self, n: usize, v: usize, visit: Visit) -> Vec<u8> {
        let student = &self.students[n];
        let login = match n.is_multiple_of(2) {
            true => format!("Cookie: {}", student.cookie()),
            false => format!("Authorization: {}", student.token()),
        };
        let mut headers = vec![self.host.clone(), login];
        if visit.kind != TO_SUBMIT {
            return request("GET", READ, &headers, b"");
        }
        headers.push("Content-Type: application/json".to_owned());
        // What they answer moves on from one submit to the next.
        let first = v / 2 * ANSWERS;
        let responses: Vec<_> = (first..first + ANSWERS)
            .map(|i| {
                json!({
                    "question_id": question_id(i % self.questions),
                    "quality": 2 + (i + n) % 4,
                    "response_time_ms": 1_000 + (i * 37 + n) % 9_000,
                })
            })
            .collect();
        let body = json!({"responses": responses, "submission_id": format!("{n}-{v}")});
        request("POST", SUBMIT, &headers, body.to_string().as_bytes())
    }
}

/// Waits until all that was submitted is in the table; how long each took, and what is not there.
async fn applied(test: &TestSite, submitted: usize) -> Result<[Figure; 2]> {
    let until = Instant::now() + MINUTE;
    let waiting = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
    while test.query_one::<u64>(waiting, ()).await.unwrap_or(0) > 0 && Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
    }
    let took: Vec<u64> = test
        .query(
            "SELECT TIMESTAMPDIFF(MICROSECOND, created_at, applied_at) FROM memora_srs_journal \
             WHERE applied_at IS NOT NULL",
            (),
        )
        .await;
    let logged: u64 = test
        .query_one("SELECT COUNT(*) FROM memora_srs_review_log", ())
        .await
        .context("a count")?;
    let missing = (submitted * ANSWERS) as f64 - logged as f64;
    let took = Latencies::new(took).percentile(99.0).as_secs_f64();
    Ok([
        Figure::new("acknowledged to in the table, P99", "s", vec![took]).bar(Bar::AtMost(10.0)),
        Figure::new("acknowledged answers that are not there", "", vec![missing])
            .bar(Bar::AtMost(0.0)),
    ])
}

fn curves(seen: &visits::Visits) -> Plot {
    let curve = |kind| {
        let latencies = seen.latencies(|visit| visit.kind == kind);
        let at = |percent: f64| (percent, latencies.percentile(percent).as_secs_f64() * 1e3);
        (0..1_000).map(|i| at(f64::from(i) / 10.0)).collect()
    };
    Plot {
        title: "Ten thousand students".to_owned(),
        x: "per cent of the requests".to_owned(),
        y: "ms at most".to_owned(),
        curves: [
            ("read at human pace", AT_PACE),
            ("submit at human pace", TO_SUBMIT),
            ("read when all do within 10 s", IN_BURST),
        ]
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), curve(kind)))
        .collect(),
        log_y: true,
    }
}
