//! Ten thousand students who are cold in everything ask for their schedule within half a
//! minute: what do they get, what does MariaDB see, when is everybody warm?
//!
//! One released sidecar on a cache that was emptied: no schedules, and no sessions, which come
//! from the table; every second student has a token instead. Requests start at a planned
//! rate, each over a connection of its own; who gets a 503 comes back when it says. The
//! promises: no wrong answer, under 1 % 503, every key complete within 90 s.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::{SEASON, machine, runtime};
use memora_tests::load::{self, Latencies};
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::{SUBJECTS, question_id};
use memora_tests::usage::cpu_seconds;
use memora_tests::{Http, Sidecar, Student, TestSite};
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
const LIMIT: usize = 20;
/// Between two looks at what MariaDB does.
const SAMPLE: Duration = Duration::from_millis(25);
/// Between two counts of complete keys.
const COUNT: Duration = Duration::from_secs(1);
/// How long a student comes back, and how long keys are waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// A crowd of cold students.
#[derive(Parser)]
struct Stampede {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    students: usize,
    /// Tracked questions of each.
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// Due questions of each.
    #[arg(long, default_value_t = 100)]
    due: usize,
    /// Seconds within which all of them ask.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// MariaDB's buffer pool in MiB. With less than the table needs (ten million rows: some six
    /// GiB) the disk is measured: a student's rows lie on as many pages.
    #[arg(long, default_value_t = 8192)]
    buffer_pool: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Stampede::parse()))
}

async fn run(stampede: &Stampede) -> Result<()> {
    let program = released_binary()?;
    let mut out = stdout();
    let began = Instant::now();
    let (test, students) = furnish(stampede).await?;
    writeln!(
        out,
        "{} students of {} questions made in {:.0} s",
        students.len(),
        stampede.questions,
        began.elapsed().as_secs_f64()
    )?;
    let start = Start {
        program: Some(program),
        ..Start::default()
    };
    let peak = Arc::<Mutex<Peak>>::default();
    let sampler = sample(
        test.mariadb.root().await?,
        test.db_name.clone(),
        peak.clone(),
    );
    let sampler = tokio::spawn(sampler);
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let mut redis = test.cache.connection().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await?;

    let pids = [
        ("sidecar", sidecar.process.id()),
        ("MariaDB", test.mariadb.pid()),
        ("Redis", test.cache.server.pid()),
        ("load generator", std::process::id()),
    ];
    let before = pids.map(|(_, pid)| cpu_seconds(pid));
    let crowd = Arc::new(Crowd {
        students,
        due: stampede.due,
        statuses: Mutex::default(),
        first: Mutex::default(),
        degraded: AtomicUsize::new(0),
        wrong: Mutex::default(),
    });
    let started = Instant::now();
    let complete = complete(&test, stampede, started);
    let rate = crowd.students.len() as f64 / stampede.seconds;
    let load = load::run(rate, Duration::from_secs_f64(stampede.seconds), {
        let crowd = crowd.clone();
        let (address, host) = (sidecar.address, test.name.clone());
        move |n| {
            let (crowd, http) = (crowd.clone(), Http::new(address, &host));
            async move { crowd.ask(n as usize, &http).await }
        }
    });
    let report = load.await;
    let busy = machine();
    let (counted, all_at) = complete.await.context("counting keys")??;
    sampler.abort();
    let peak = std::mem::take(&mut *lock(&peak));
    let after = pids.map(|(_, pid)| cpu_seconds(pid));

    let statuses = lock(&crowd.statuses);
    let answers: usize = statuses.values().sum();
    let refused = statuses.get(&503).copied().unwrap_or_default();
    let wrong = lock(&crowd.wrong);
    let first = Latencies::new(std::mem::take(&mut *lock(&crowd.first)));
    writeln!(
        out,
        "stampede: {} cold students of {} questions within {} s, buffer pool {} MiB; {busy}",
        crowd.students.len(),
        stampede.questions,
        stampede.seconds,
        stampede.buffer_pool,
    )?;
    writeln!(out, "| what | measured | promised |")?;
    writeln!(out, "|---|---:|---:|")?;
    writeln!(out, "| wrong answers | {} | 0 |", wrong.len())?;
    writeln!(
        out,
        "| 503 of {answers} answers | {refused} ({:.2} %) | under 1 % |",
        refused as f64 * 100.0 / answers.max(1) as f64
    )?;
    let degraded = crowd.degraded.load(Ordering::Relaxed);
    writeln!(out, "| degraded answers | {degraded} | none |")?;
    let other = statuses
        .iter()
        .filter(|(status, _)| !matches!(status, 200 | 503));
    writeln!(
        out,
        "| other answers | {:?} | none |",
        other.collect::<Vec<_>>()
    )?;
    writeln!(
        out,
        "| students never answered | {} | 0 |",
        report.failed + report.unanswered
    )?;
    let all = match all_at {
        Some(at) => format!("{:.0} s", at.as_secs_f64()),
        None => format!("{counted} keys after {} s", PATIENCE.as_secs()),
    };
    writeln!(out, "| all keys complete after | {all} | 90 s |")?;
    writeln!(
        out,
        "| statements at once in MariaDB | {} | 32 |",
        peak.running
    )?;
    writeln!(out, "| of them reads of schedules | {} | 16 |", peak.loads)?;
    writeln!(out, "| connections | {} | 32 |", peak.connections)?;
    writeln!(out, "first answers: {first}")?;
    writeln!(out, "until the schedule came: {}", report.latencies)?;
    writeln!(
        out,
        "generator late by {:.0} ms at most",
        report.latest_start.as_secs_f64() * 1e3
    )?;
    let cpu = pids.iter().zip(after.iter().zip(before));
    let cpu = cpu.map(|((name, _), (after, before))| format!("{name} {:.1}", after - before));
    writeln!(
        out,
        "processor seconds: {}",
        cpu.collect::<Vec<_>>().join(", ")
    )?;
    if let Some(reason) = &report.first_failure {
        writeln!(out, "first failure: {reason}")?;
    }
    for wrong in wrong.iter().take(3) {
        writeln!(out, "wrong: {wrong}")?;
    }
    for (warning, times) in warnings(&sidecar.process.log()) {
        writeln!(out, "the sidecar said {times} times: {warning}")?;
    }
    Ok(())
}

/// Students and their rows.
async fn furnish(stampede: &Stampede) -> Result<(TestSite, Vec<Student>)> {
    crowd::furnish(Size {
        students: stampede.students,
        questions: stampede.questions,
        due: stampede.due,
        buffer_pool_mb: stampede.buffer_pool,
    })
    .await
}

/// The students, and what they were told.
struct Crowd {
    students: Vec<Student>,
    due: usize,
    statuses: Mutex<BTreeMap<u16, usize>>,
    /// Microseconds until the first answer, whatever it was, from the first byte sent.
    first: Mutex<Vec<u64>>,
    degraded: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Crowd {
    /// Asks until there is a schedule, and looks at it.
    async fn ask(&self, n: usize, http: &Http) -> Result<(), String> {
        let student = &self.students[n];
        let until = Instant::now() + PATIENCE;
        for round in 0.. {
            let call = http.get(READ);
            let call = match n.is_multiple_of(2) {
                true => call.cookie(student),
                false => call.token(student),
            };
            let answer = call.try_send().await.map_err(|e| format!("{e:#}"))?;
            if round == 0 {
                lock(&self.first).push(answer.elapsed.as_micros() as u64);
            }
            let status = answer.status.as_u16();
            *lock(&self.statuses).entry(status).or_default() += 1;
            match status {
                200 => {
                    if let Some(wrong) = self.wrong(&answer.message()) {
                        lock(&self.wrong).push(format!("{}: {wrong}", student.name));
                    }
                    return Ok(());
                }
                503 if Instant::now() < until => {
                    let seconds = answer.header("retry-after").parse();
                    let seconds: u64 = seconds.map_err(|e| format!("Retry-After: {e}"))?;
                    sleep(Duration::from_secs(seconds)).await;
                }
                _ => return Err(format!("{status}: {}", answer.text())),
            }
        }
        Ok(())
    }

    /// What is wrong with a schedule: everybody has the same.
    fn wrong(&self, session: &Value) -> Option<String> {
        let questions = session["questions"].as_array();
        let shown = questions.into_iter().flatten().map(|question| {
            (
                question["question_id"].as_str(),
                question["subject"].as_str(),
            )
        });
        let degraded = session["is_degraded"] == true;
        self.degraded
            .fetch_add(usize::from(degraded), Ordering::Relaxed);
        // Safe Mode shows ten.
        let limit = if degraded { LIMIT / 2 } else { LIMIT };
        let expected: Vec<(String, &str)> = (0..self.due.min(limit))
            .map(|i| (question_id(i), SUBJECTS[i % SUBJECTS.len()].0))
            .collect();
        let expected_too = expected
            .iter()
            .map(|(id, subject)| (Some(id.as_str()), Some(*subject)));
        let right = shown.eq(expected_too)
            && session["total_due"] == self.due
            && session["season"] == SEASON;
        (!right).then(|| session.to_string())
    }
}

/// The most of everything that was seen in MariaDB.
#[derive(Default)]
struct Peak {
    running: usize,
    loads: usize,
    connections: usize,
}

/// Looks at what the site's user does there, our own idle connections left out.
async fn sample(mut root: mysql_async::Conn, user: String, peak: Arc<Mutex<Peak>>) {
    let ours = look(&mut root, &user).await.map_or(0, |seen| seen.len());
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(seen) = look(&mut root, &user).await else {
            return;
        };
        let running: Vec<_> = seen
            .iter()
            .filter(|(command, _)| command != "Sleep")
            .collect();
        let is_load = |info: &Option<String>| {
            info.as_ref()
                .is_some_and(|sql| sql.contains("tabPlayer Memory Tracker"))
        };
        let loads = running.iter().filter(|(_, info)| is_load(info)).count();
        let mut peak = lock(&peak);
        peak.running = peak.running.max(running.len());
        peak.loads = peak.loads.max(loads);
        peak.connections = peak.connections.max(seen.len().saturating_sub(ours));
    }
}

async fn look(
    root: &mut mysql_async::Conn,
    user: &str,
) -> mysql_async::Result<Vec<(String, Option<String>)>> {
    let sql = "SELECT command, info FROM information_schema.processlist WHERE user = ?";
    root.exec(sql, (user,)).await
}

/// Counts complete keys until all are, or patience ends: how many, and when all were.
fn complete(
    test: &TestSite,
    stampede: &Stampede,
    started: Instant,
) -> JoinHandle<Result<(usize, Option<Duration>)>> {
    let (cache, students) = (test.cache.clone(), stampede.students);
    // The marker is a member too.
    let members = stampede.questions + 1;
    tokio::spawn(async move {
        let mut redis = cache.connection().await;
        loop {
            sleep(COUNT).await;
            let counted_at = started.elapsed();
            let (mut cursor, mut complete) = (0_u64, 0);
            loop {
                let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                    .arg(cursor)
                    .arg(&["MATCH", "srs:*", "COUNT", "1000"])
                    .query_async(&mut redis)
                    .await?;
                let mut sizes = redis::pipe();
                keys.iter().for_each(|key| {
                    sizes.zcard(key);
                });
                let sizes: Vec<usize> = match keys.is_empty() {
                    true => Vec::new(),
                    false => sizes.query_async(&mut redis).await?,
                };
                complete += sizes.iter().filter(|size| **size == members).count();
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            if complete >= students {
                return Ok((complete, Some(counted_at)));
            }
            if counted_at > PATIENCE {
                return Ok((complete, None));
            }
        }
    })
}

/// What a program warned of, and how often.
fn warnings(log: &str) -> BTreeMap<String, usize> {
    let mut warnings = BTreeMap::new();
    let is_warning = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    for line in log.lines().filter(is_warning) {
        // Without what differs from line to line: time and request.
        let words = line.split_whitespace().skip(1);
        let words = words.filter(|word| !word.starts_with("request{"));
        let words: Vec<&str> = words.take(12).collect();
        *warnings.entry(words.join(" ")).or_default() += 1;
    }
    warnings
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
