//! Does a request take longer in a season of ten million questions than in one of a hundred
//! thousand?
//!
//! A season of each size on servers of its own, all up at the same time, with a released sidecar
//! and worker. In each the same students with a thousand questions are watched, among others
//! with few and with very many; who has a hundred thousand is watched apart. Each round goes
//! through all seasons, so that whatever else the machine does meets all of them.

use std::io::{Write, stdout};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use memora_benches::crowd;
use memora_benches::report::{Bar, Figure, Plot, Report, median};
use memora_benches::tracker::{self, Done, Each};
use memora_benches::{SUBMIT, machine, runtime, season};
use memora_core::services::Site;
use memora_tests::crowd::skewed;
use memora_tests::load::Latencies;
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::wire::{self, Requests, request};
use memora_tests::{Sidecar, Student, TestSite, Worker};
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::time::{Instant, sleep};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
const ANSWERS: usize = 20;
/// Questions of a student who is watched, and of the one who has most.
const QUESTIONS: usize = 1_000;
const MOST: usize = 100_000;
/// Those that are due: more than are answered in all rounds.
const DUE: usize = 1_000;
const CONNECTIONS: usize = 16;
/// How often all are made cold in one round, at each rate.
const COLD_PASSES: usize = 3;
/// How often the student with most is made cold.
const COLD_MOST: usize = 20;
/// Reads, and submits, whose work is counted.
const COUNTED: u64 = 250;
/// Microseconds that no command of Redis may take.
const SLOW: u64 = 5_000;
/// Bytes of a row with its part of the indexes, about, for the buffer pool.
const ROW: usize = 800;
const PATIENCE: Duration = Duration::from_secs(60);

/// Seasons of several sizes.
#[derive(Parser)]
struct Bench {
    /// Their questions in all.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    rows: Vec<usize>,
    /// Students of a thousand questions who are watched in each.
    #[arg(long, default_value_t = 50)]
    watched: usize,
    /// Rounds through all of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Requests a second; half as many are submits, and cold reads of many students at once.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Cold reads a second as they come when nothing has happened to the cache.
    #[arg(long, default_value_t = 20.0)]
    cold_rate: f64,
    /// Seconds of reads, and of submits, in each round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// MariaDB's buffer pool in MiB for the largest; others have what their rows need.
    #[arg(long, default_value_t = 8192)]
    buffer_pool: usize,
    /// Seconds between the making of the last and the measuring.
    #[arg(long, default_value_t = 10)]
    settle: u64,
    /// Also back up the largest: a dump of the tracker.
    #[arg(long)]
    backup: bool,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Bench::parse()))
}

async fn run(bench: &Bench) -> Result<()> {
    let mut out = stdout();
    ensure!(!bench.rows.is_empty(), "--rows");
    let mut seasons = Vec::new();
    for rows in &bench.rows {
        seasons.push(OfSize::furnish(bench, *rows).await?);
    }
    writeln!(out, "made; {}", machine())?;
    // What was written still goes to disk.
    sleep(Duration::from_secs(bench.settle)).await;
    for n in 0..bench.rounds {
        for i in 0..seasons.len() {
            // Each is first in its turn.
            let of = (i + n) % seasons.len();
            seasons[of].round(bench).await?;
        }
    }
    let mut report = Report::new("scale");
    for season in &mut seasons {
        season.count().await?;
        season.most().await?;
    }
    latencies(&mut report, &seasons);
    work(&mut report, &seasons);
    for season in &seasons {
        season.sizes(&mut report).await?;
    }
    if bench.backup
        && let Some(season) = seasons.last()
    {
        season.back_up(&mut report).await?;
    }
    report.finish()
}

/// A season, and what was measured of it.
struct OfSize {
    rows: usize,
    test: TestSite,
    engine: Arc<Site>,
    redis: MultiplexedConnection,
    sidecar: Sidecar,
    worker: Worker,
    watched: Arc<Vec<Student>>,
    most: Option<Student>,
    /// Of each round: warm reads, cold reads one by one and many at once, submits.
    reads: Vec<Latencies>,
    colds: Vec<Latencies>,
    colds_at_once: Vec<Latencies>,
    submits: Vec<Latencies>,
    /// Of each round: answers applied a second.
    applied: Vec<f64>,
    /// What a warm read, a cold one with its fill, a submit, and one answer's way into the
    /// table had the servers do.
    each: [Each; 4],
    /// Of the student with most: milliseconds to each first answer, and to each complete key.
    firsts: Vec<f64>,
    completes: Vec<f64>,
    /// Commands that took too long in Redis meanwhile.
    slow: Vec<String>,
    /// Redis' bytes a question of those watched.
    cached: f64,
    submitted: u64,
}

impl OfSize {
    async fn furnish(bench: &Bench, rows: usize) -> Result<Self> {
        let began = Instant::now();
        let mut counts = vec![QUESTIONS; bench.watched];
        let has_most = rows >= 10 * MOST;
        if has_most {
            counts.push(MOST);
        }
        let left = rows.checked_sub(counts.iter().sum());
        let left = left.context("fewer rows than those watched have")?;
        counts.extend(skewed(left, rows as u64));
        let pool = (rows * ROW / 1024 / 1024).clamp(256, bench.buffer_pool.max(256));
        let (test, mut students) = crowd::furnish_each(&counts, DUE, pool as u32).await?;
        writeln!(
            stdout(),
            "{rows} questions of {} students made in {:.0} s, buffer pool {pool} MiB",
            students.len(),
            began.elapsed().as_secs_f64()
        )?;
        students.truncate(bench.watched + usize::from(has_most));
        let most = has_most.then(|| students.pop()).flatten();
        let start = Start {
            program: Some(released_binary()?),
            ..Start::default()
        };
        let mut redis = test.cache.connection().await;
        redis::cmd("CONFIG")
            .arg(&["SET", "slowlog-log-slower-than", &SLOW.to_string()])
            .exec_async(&mut redis)
            .await?;
        let mut season = Self {
            rows,
            engine: test.site().await,
            redis,
            sidecar: Sidecar::start_with(&test, &start).await?,
            worker: Worker::start_with(&test, &start)?,
            test,
            watched: Arc::new(students),
            most,
            reads: Vec::new(),
            colds: Vec::new(),
            colds_at_once: Vec::new(),
            submits: Vec::new(),
            applied: Vec::new(),
            each: Default::default(),
            firsts: Vec::new(),
            completes: Vec::new(),
            slow: Vec::new(),
            cached: 0.0,
            submitted: 0,
        };
        season.first_reads().await?;
        Ok(season)
    }

    /// What the others find afterwards: logins, statements and schedules are known.
    async fn first_reads(&mut self) -> Result<()> {
        let before = self.used_memory().await?;
        self.read_each(50.0).await?;
        self.wait_until_complete().await?;
        let questions = self.watched.len() * QUESTIONS;
        self.cached = (self.used_memory().await? - before) / questions as f64;
        self.submit(50.0, 1.0).await?;
        self.wait_until_applied().await?;
        Ok(())
    }

    async fn round(&mut self, bench: &Bench) -> Result<()> {
        self.wait_until_complete().await?;
        let reads = self.reads(&self.watched);
        let time = Duration::from_secs_f64(bench.seconds);
        let paced = wire::paced(self.sidecar.address, CONNECTIONS, bench.rate, time, reads);
        self.reads.push(paced.await?.latencies);

        let cold = self.colds(bench.cold_rate).await?;
        self.colds.push(cold);
        let at_once = self.colds(bench.rate / 2.0).await?;
        self.colds_at_once.push(at_once);

        // What is submitted waits, and is then applied as fast as can be.
        self.worker.process.pause();
        let submits = self.submit(bench.rate / 2.0, bench.seconds).await?;
        let answers = submits.count() * ANSWERS;
        self.submits.push(submits);
        let began = Instant::now();
        self.worker.process.resume();
        self.wait_until_applied().await?;
        self.applied
            .push(answers as f64 / began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Reads of all who are watched, whose schedules are not in the cache.
    async fn colds(&self, rate: f64) -> Result<Latencies> {
        let mut passes = Vec::new();
        for _ in 0..COLD_PASSES {
            self.forget(&self.watched).await?;
            passes.push(self.read_each(rate).await?);
            self.wait_until_complete().await?;
        }
        Ok(Latencies::of_all(&passes))
    }

    /// Counts what the servers do for each request, one after the other.
    async fn count(&mut self) -> Result<()> {
        self.worker.process.pause();
        let address = self.sidecar.address;
        let in_a_row = Duration::from_secs_f64(COUNTED as f64 / 1_000.0);
        let before = Done::now(&self.test).await?;
        let reads = self.reads(&self.watched);
        let reads = wire::paced(address, 1, 1_000.0, in_a_row, reads).await?;
        let warm = Done::now(&self.test).await?;
        self.each[0] = warm.each(&before, reads.answered);

        self.forget(&self.watched).await?;
        let before = Done::now(&self.test).await?;
        let cold = self.read_each(20.0).await?;
        self.wait_until_complete().await?;
        let filled = Done::now(&self.test).await?;
        self.each[1] = filled.each(&before, cold.count() as u64);

        let before = Done::now(&self.test).await?;
        let submits = self.submit(100.0, COUNTED as f64 / 100.0).await?;
        let submitted = Done::now(&self.test).await?;
        self.each[2] = submitted.each(&before, submits.count() as u64);

        self.worker.process.resume();
        self.wait_until_applied().await?;
        let applied = Done::now(&self.test).await?;
        self.each[3] = applied.each(&submitted, (submits.count() * ANSWERS) as u64);
        Ok(())
    }

    /// The student with most, cold.
    async fn most(&mut self) -> Result<()> {
        let Some(student) = self.most.clone() else {
            return Ok(());
        };
        let alone = Arc::new(vec![student]);
        redis::cmd("SLOWLOG")
            .arg("RESET")
            .exec_async(&mut self.redis)
            .await?;
        for _ in 0..COLD_MOST {
            self.forget(&alone).await?;
            let began = Instant::now();
            let reads = self.reads(&alone);
            let once = Duration::from_millis(100);
            let read = wire::paced(self.sidecar.address, 1, 10.0, once, reads).await?;
            let first = read.latencies.max();
            ensure!(read.answered == 1, "{} answers", read.answered);
            let answered = began.elapsed();
            self.wait_for(&alone, MOST).await?;
            self.firsts.push(first.as_secs_f64() * 1e3);
            let after = began.elapsed() - answered;
            self.completes.push(after.as_secs_f64() * 1e3);
        }
        // Each entry: number, time, microseconds, the command's words, who sent it.
        let slow: Vec<Vec<redis::Value>> = redis::cmd("SLOWLOG")
            .arg(&["GET", "1000"])
            .query_async(&mut self.redis)
            .await?;
        self.slow = slow
            .into_iter()
            .filter_map(|entry| {
                let micros: u64 = redis::from_redis_value(entry.get(2)?.clone()).ok()?;
                let words: Vec<redis::Value> =
                    redis::from_redis_value(entry.get(3)?.clone()).ok()?;
                let words = words.into_iter().take(3);
                let words = words.filter_map(|word| redis::from_redis_value::<String>(word).ok());
                let words: Vec<String> = words.collect();
                Some(format!("{micros} µs: {}", words.join(" ")))
            })
            .collect();
        Ok(())
    }

    fn reads(&self, of: &Arc<Vec<Student>>) -> Requests {
        let (students, host) = (of.clone(), self.host());
        Arc::new(move |c, n| {
            let student = &students[(c + n as usize * CONNECTIONS) % students.len()];
            let login = format!("Cookie: {}", student.cookie());
            request("GET", READ, &[host.clone(), login], b"")
        })
    }

    fn host(&self) -> String {
        format!("Host: {}", self.test.name)
    }

    /// One read of each who is watched.
    async fn read_each(&self, rate: f64) -> Result<Latencies> {
        let time = Duration::from_secs_f64((self.watched.len() as f64 + 0.5) / rate);
        let reads = self.reads(&self.watched);
        let read = wire::paced(self.sidecar.address, CONNECTIONS, rate, time, reads).await?;
        Ok(read.latencies)
    }

    async fn submit(&mut self, rate: f64, seconds: f64) -> Result<Latencies> {
        let first = self.submitted;
        let time = Duration::from_secs_f64(seconds);
        let (students, host) = (self.watched.clone(), self.host());
        let requests: Requests = Arc::new(move |c, n| {
            let nth = c + n as usize * CONNECTIONS;
            let student = &students[nth % students.len()];
            let nth = first as usize + nth;
            let from = nth / students.len() * ANSWERS;
            let responses: Vec<_> = (from..from + ANSWERS)
                .map(|i| json!({"question_id": question_id(i % QUESTIONS), "quality": 4, "response_time_ms": 3_000}))
                .collect();
            let body = json!({"responses": responses, "submission_id": format!("scale-{nth}")});
            let headers = [
                host.clone(),
                format!("Cookie: {}", student.cookie()),
                "Content-Type: application/json".to_owned(),
            ];
            request("POST", SUBMIT, &headers, body.to_string().as_bytes())
        });
        let submits = wire::paced(self.sidecar.address, CONNECTIONS, rate, time, requests).await?;
        self.submitted += submits.answered;
        Ok(submits.latencies)
    }

    /// Takes the schedules of these out of the cache.
    async fn forget(&self, of: &[Student]) -> Result<()> {
        for student in of {
            self.engine
                .cache
                .invalidate(&student.player(), &season())
                .await?;
        }
        Ok(())
    }

    async fn wait_until_complete(&self) -> Result<()> {
        self.wait_for(&self.watched, QUESTIONS).await
    }

    /// Waits until each schedule of these has all questions.
    async fn wait_for(&self, of: &[Student], questions: usize) -> Result<()> {
        let mut sizes = redis::pipe();
        for student in of {
            let keys = self.engine.cache.keys(&student.player(), &season());
            sizes.zcard(keys.schedule);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let sizes: Vec<usize> = sizes.query_async(&mut self.redis.clone()).await?;
            // The marker is a member too.
            if sizes.iter().all(|size| *size == questions + 1) {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "schedules stay incomplete: {sizes:?}"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until_applied(&self) -> Result<()> {
        let waiting = "SELECT 1 FROM memora_srs_journal WHERE applied_at IS NULL LIMIT 1";
        let until = Instant::now() + PATIENCE;
        while self.test.query_one::<u8>(waiting, ()).await.is_some() {
            ensure!(Instant::now() < until, "submits stay unapplied");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn used_memory(&self) -> Result<f64> {
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.redis.clone())
            .await?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.context("no used_memory")?.trim().parse()?)
    }

    async fn sizes(&self, report: &mut Report) -> Result<()> {
        let rows = label(self.rows);
        let mut out = stdout();
        let mut total = 0.0;
        for index in tracker::indexes(&self.test).await? {
            let bytes = index.bytes() as f64 / self.rows as f64;
            total += bytes;
            writeln!(
                out,
                "{rows} rows, {}: {} deep, {} pages, {} of them leaves, {bytes:.0} bytes a row",
                index.name, index.depth, index.pages, index.leaves
            )?;
            if index.name == "PRIMARY" || index.name.starts_with("uq_") {
                report.figures.push(Figure::new(
                    format!("depth of {} at {rows} rows", index.name),
                    "pages",
                    vec![f64::from(index.depth)],
                ));
            }
        }
        report.figures.push(Figure::new(
            format!("table and indexes at {rows} rows, a row"),
            "bytes",
            vec![total],
        ));
        report.figures.push(Figure::new(
            format!("Redis' memory at {rows} rows, a question in the cache"),
            "bytes",
            vec![self.cached],
        ));
        if !self.firsts.is_empty() {
            let worst = |of: &[f64]| vec![of.iter().copied().fold(0.0, f64::max)];
            let what = |what: &str| {
                format!(
                    "cold read of {} questions at {rows} rows, {what}",
                    label(MOST)
                )
            };
            let middle = Figure::new(what("P50"), "ms", vec![median(&self.firsts)]);
            report.figures.push(middle);
            let slowest = Figure::new(what("slowest of 20"), "ms", worst(&self.firsts));
            report.figures.push(slowest.bar(Bar::AtMost(100.0)));
            let middle = vec![median(&self.completes)];
            let complete = Figure::new(what("complete after it, P50"), "ms", middle);
            report.figures.push(complete);
            let complete = Figure::new(
                what("complete after it, slowest"),
                "ms",
                worst(&self.completes),
            );
            report.figures.push(complete.bar(Bar::AtMost(1_000.0)));
            for command in self.slow.iter().take(5) {
                writeln!(out, "slow in Redis: {command}")?;
            }
            let slow = what(&format!("commands of Redis over {} ms", SLOW / 1_000));
            let slow = Figure::new(slow, "", vec![self.slow.len() as f64]);
            report.figures.push(slow.bar(Bar::AtMost(0.0)));
        }
        Ok(())
    }

    /// How fast a dump of the tracker is.
    async fn back_up(&self, report: &mut Report) -> Result<()> {
        let mut dump = Command::new("mariadb-dump");
        dump.args([
            "--no-defaults",
            "--single-transaction",
            "--quick",
            "--user=root",
        ])
        .arg(format!("--socket={}", self.test.mariadb.socket().display()))
        .args([&self.test.db_name, "tabPlayer Memory Tracker"])
        .stdout(Stdio::null());
        let began = Instant::now();
        let status = tokio::task::spawn_blocking(move || dump.status()).await??;
        ensure!(status.success(), "mariadb-dump: {status}");
        let seconds = began.elapsed().as_secs_f64();
        report.figures.push(Figure::new(
            format!("mariadb-dump at {} rows", label(self.rows)),
            "rows/s",
            vec![self.rows as f64 / seconds],
        ));
        Ok(())
    }
}

fn label(rows: usize) -> String {
    let power = (rows as f64).log10();
    match (power.fract() < 1e-9, rows.is_multiple_of(1_000_000)) {
        (true, _) => format!("10^{power:.0}"),
        (false, true) => format!("{} million", rows / 1_000_000),
        (false, false) => rows.to_string(),
    }
}

/// Every latency of each size, beside the smallest season's.
fn latencies(report: &mut Report, seasons: &[OfSize]) {
    type Of = fn(&OfSize) -> &Vec<Latencies>;
    let kinds: [(&str, Of); 4] = [
        ("warm read", |season| &season.reads),
        ("cold read of 1,000 questions", |season| &season.colds),
        ("cold read, many at once", |season| &season.colds_at_once),
        ("submit of 20", |season| &season.submits),
    ];
    let ms = |rounds: &[Latencies], percent| -> Vec<f64> {
        let of_each = rounds.iter().map(|round| round.percentile(percent));
        of_each.map(|time| time.as_secs_f64() * 1e3).collect()
    };
    let (smallest, largest) = (&seasons[0], seasons.len() - 1);
    for (what, of) in kinds {
        let mut curves = std::collections::BTreeMap::new();
        for (name, percent, times) in [("P50", 50.0, 1.05), ("P99", 99.0, 1.25)] {
            for (i, season) in seasons.iter().enumerate() {
                let rounds = ms(of(season), percent);
                curves
                    .entry(name.to_owned())
                    .or_insert_with(Vec::new)
                    .push(((season.rows as f64).log10(), median(&rounds)));
                let figure = Figure::new(
                    format!("{what} at {} rows, {name}", label(season.rows)),
                    "ms",
                    rounds,
                );
                let figure = match i {
                    0 => figure,
                    _ => figure.limit(
                        &format!("at {}", label(smallest.rows)),
                        ms(of(smallest), percent),
                    ),
                };
                let bar = match (what, name) {
                    ("warm read", _) if i == largest && i > 0 => Some(Bar::TimesLimit(times)),
                    ("cold read of 1,000 questions", "P99") => Some(Bar::AtMost(15.0)),
                    _ => None,
                };
                report.figures.push(Figure { bar, ..figure });
            }
        }
        report.plots.push(Plot {
            title: format!("{what}, by rows"),
            x: "power of ten of the season's rows".to_owned(),
            y: "ms".to_owned(),
            curves,
            log_y: false,
        });
    }
    for (i, season) in seasons.iter().enumerate() {
        let what = format!("answers applied at {} rows", label(season.rows));
        let figure = Figure::new(what, "/s", season.applied.clone());
        report.figures.push(match i {
            0 => figure,
            _ => figure.limit(
                &format!("at {}", label(smallest.rows)),
                smallest.applied.clone(),
            ),
        });
    }
}

/// What each request has the servers do, which no size changes.
fn work(report: &mut Report, seasons: &[OfSize]) {
    let kinds = [
        "warm read",
        "cold read of 1,000 questions, with its fill,",
        "submit of 20",
        "answer applied",
    ];
    for (k, what) in kinds.into_iter().enumerate() {
        let smallest = &seasons[0].each[k];
        for (i, season) in seasons.iter().enumerate() {
            let each = &season.each[k];
            let commands: f64 = each.commands.values().sum();
            let rows = label(season.rows);
            // A promise about the first would be about itself.
            let bar = |most| (i > 0 && k == 0).then_some(Bar::AtMost(most));
            let _ = writeln!(stdout(), "{what} at {rows} rows: {each:?}");
            for (name, value, most) in [
                (
                    "commands of Redis",
                    commands,
                    smallest.commands.values().sum(),
                ),
                ("rows examined", each.rows, smallest.rows),
            ] {
                let figure = Figure::new(format!("{what} at {rows} rows, {name}"), "", vec![value]);
                let bar = bar(most);
                report.figures.push(Figure { bar, ..figure });
            }
        }
    }
}
