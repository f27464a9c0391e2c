//! How fast do acknowledged answers reach the table?
//!
//! In a season of 1,000 students with 1,000 questions each: what a worker does with 64 jobs of
//! 20 answers, beside a bare loop that upserts as many rows of other students by the same
//! statements in transactions of the same size on one connection. Both change rows that are
//! there; ours also reads and marks the journal, writes review log and audit, and shows the
//! states in the cache. Then the released worker by itself: how fast it drains a queue, and how
//! old answers get at the design load, which the released sidecar takes.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::report::{Bar, Figure, Report};
use memora_benches::{SEASON, Stage, SubmitOf, runtime, submits};
use memora_core::batch::{Submission, SubmissionKey};
use memora_core::queue::persistence_job_id;
use memora_core::store::apply::Work;
use memora_core::store::journal;
use memora_core::types::UtcMicros;
use memora_tests::count::{RedisCounter, SqlCounter};
use memora_tests::load::Latencies;
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::usage::cpu_seconds;
use memora_tests::{Sidecar, Student, Worker, wire};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};
use tokio::time::sleep;

/// Jobs of one transaction, as a worker takes them, and answers of a job.
const JOBS: usize = 64;
const ANSWERS: usize = 20;
/// Rows of a statement, in both.
const ROWS: usize = 512;
/// Design load: 10,000 students, a submit of 20 a minute each.
const DESIGN: f64 = 10_000.0 / 60.0;
const UPSERT: &str = include_str!("../../rust-core/src/store/apply/upsert.sql");
const GUARD: &str = include_str!("../../rust-core/src/store/apply/guard.sql");

/// Applying, beside the bare upsert.
#[derive(Parser)]
struct Apply {
    #[arg(long, default_value_t = 1_000)]
    students: usize,
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Transactions of a round, of each side.
    #[arg(long, default_value_t = 10)]
    transactions: usize,
    /// MariaDB's buffer pool in MiB.
    #[arg(long, default_value_t = 2048)]
    buffer_pool: u32,
    /// Seconds at the design load; 0: neither that nor the drain.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Print what one transaction asks of the servers.
    #[arg(long)]
    count: bool,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Apply::parse()))
}

async fn run(apply: &Apply) -> Result<()> {
    let (test, students) = crowd::furnish(Size {
        students: apply.students,
        questions: apply.questions,
        due: ANSWERS,
        buffer_pool_mb: apply.buffer_pool,
    })
    .await?;
    let site = test.site().await;
    let stage = Stage { test, site };
    // One half is ours, the other the bare loop's.
    let (ours, bare) = students.split_at(students.len() / 2);
    for student in ours {
        stage.warm(&student.player()).await;
    }
    let mut conn = Conn::new(stage.test.db_opts()).await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    if apply.count {
        count(&stage, ours).await?;
    }
    let mut report = Report::new("apply");
    let rows = (apply.transactions * JOBS * ANSWERS) as f64;
    let (mut applied, mut upserted) = (Vec::new(), Vec::new());
    // The first round opens connections and prepares statements.
    for round in 0..=apply.rounds {
        let first = round * apply.transactions;
        let mut work = Vec::new();
        for n in first..first + apply.transactions {
            work.push(submit(&stage, ours, n).await?);
        }
        let began = Instant::now();
        for work in &work {
            stage.apply(work).await;
        }
        let ours = rows / began.elapsed().as_secs_f64();
        empty(&stage).await?;

        let statements: Vec<_> = (first..first + apply.transactions)
            .map(|n| bare_rows(&stage, bare, n))
            .collect();
        let began = Instant::now();
        for statements in statements {
            upsert(&mut conn, statements).await?;
        }
        let bare = rows / began.elapsed().as_secs_f64();
        if round > 0 {
            applied.push(ours);
            upserted.push(bare);
        }
    }
    report.figures.push(
        Figure::new("apply, 64 jobs of 20 answers a transaction", "/s", applied)
            .limit("bare upsert of as many rows", upserted)
            .bar(Bar::ShareOfLimit(0.7)),
    );
    if apply.seconds > 0 {
        drain(&stage, ours, &mut report).await?;
        design_load(apply, &stage, ours, &mut report).await?;
    }
    report.finish()
}

/// Submits of 64 students, as the `n`th transaction finds them in the queue.
async fn submit(stage: &Stage, students: &[Student], n: usize) -> Result<Vec<Work>> {
    let mut work = Vec::with_capacity(JOBS);
    for job in 0..JOBS {
        let at = n * JOBS + job;
        let player = students[at % students.len()].player();
        let request = memora_benches::answers_to(questions(at / students.len()));
        stage.submit(&player, &request).await;
        let key = SubmissionKey {
            player,
            submission: request.submission,
        };
        let found = journal::find(&stage.site.db, &key).await?;
        let submission: Submission = found.context("no journal row")?;
        let (site, rq) = (&stage.site.config.site, stage.site.config.rq_major);
        work.push(Work {
            job_id: Some(persistence_job_id(site, rq, &key.player, &key.submission)),
            key,
            submission: Some(submission),
        });
    }
    Ok(work)
}

/// Questions that a student answers in the `n`th submit.
fn questions(n: usize) -> std::ops::Range<usize> {
    let first = (n * 7 % 40) * ANSWERS;
    first..first + ANSWERS
}

/// What the next round must not meet.
async fn empty(stage: &Stage) -> Result<()> {
    let mut queue = stage.test.queue.connection().await;
    redis::cmd("FLUSHDB").exec_async(&mut queue).await?;
    Ok(())
}

/// The parameters of the bare statements of one transaction, in the order of the key.
fn bare_rows(stage: &Stage, students: &[Student], n: usize) -> Vec<Vec<Value>> {
    let wall = |days: i64| {
        stage
            .test
            .wall(chrono::Utc::now() + chrono::Duration::days(days))
    };
    let (now, version) = (wall(0), UtcMicros::now().0);
    let mut rows = Vec::new();
    let mut jobs: Vec<usize> = (0..JOBS).map(|job| n * JOBS + job).collect();
    jobs.sort_by_key(|at| at % students.len());
    for at in jobs {
        let player = students[at % students.len()].name.as_str();
        for question in questions(at / students.len()) {
            let due = (question as i64 + n as i64) % 14;
            rows.push(vec![
                // As a ULID: 26 characters, later ones behind earlier ones.
                format!("01M0BARE{version:018}{:04}", rows.len())[4..30].into(),
                now.into(),
                now.into(),
                player.into(),
                player.into(),
                0.into(),
                0.into(),
                player.into(),
                SEASON.into(),
                question_id(question).into(),
                "2.125000000".into(),
                wall(due).into(),
                now.into(),
                version.into(),
                Value::NULL,
                Value::NULL,
            ]);
        }
    }
    rows.chunks(ROWS).map(<[_]>::concat).collect()
}

async fn upsert(conn: &mut Conn, statements: Vec<Vec<Value>>) -> Result<()> {
    let guard: String = GUARD.lines().filter(|l| !l.starts_with("--")).collect();
    let sql = UPSERT.replace("{guard}", &guard);
    conn.query_drop("START TRANSACTION").await?;
    for params in statements {
        let row = format!("({})", vec!["?"; 16].join(", "));
        let sql = sql.replace("{rows}", &vec![row; params.len() / 16].join(", "));
        conn.exec_drop(sql, Params::Positional(params)).await?;
    }
    conn.query_drop("COMMIT").await?;
    Ok(())
}

/// What a transaction asks of the servers.
async fn count(stage: &Stage, students: &[Student]) -> Result<()> {
    let mut out = stdout();
    // The first of a connection prepares.
    for n in 0..2 {
        let work = submit(stage, students, n).await?;
        let sql = SqlCounter::start(&stage.test).await;
        let mut redis = RedisCounter::start(&stage.test.cache).await;
        stage.apply(&work).await;
        writeln!(out, "MariaDB:")?;
        for statement in sql.take().await {
            let lines = statement.lines().filter(|line| !line.starts_with("--"));
            let text: String = lines.collect::<Vec<_>>().join(" ");
            writeln!(out, "  {:.100}", text)?;
        }
        let commands = redis.take_with_scripts().await.len();
        writeln!(
            out,
            "cache: {} commands, {commands} with those of scripts",
            redis.take().await.len()
        )?;
    }
    let mut root = stage.test.mariadb.root().await?;
    root.query_drop("SET GLOBAL general_log = OFF").await?;
    empty(stage).await
}

/// The released worker, on a queue that waits for it.
async fn drain(stage: &Stage, students: &[Student], report: &mut Report) -> Result<()> {
    let mut rates = Vec::new();
    let jobs = 40 * JOBS;
    for round in 0..3 {
        for n in 0..jobs / JOBS {
            submit(stage, students, round * 40 + n).await?;
        }
        let began = Instant::now();
        let worker = Worker::start_with(&stage.test, &released()?)?;
        applied(stage).await?;
        rates.push((jobs * ANSWERS) as f64 / began.elapsed().as_secs_f64());
        drop(worker);
        empty(stage).await?;
    }
    let what = "drain of 2,560 jobs of 20 answers by one released worker, its start included";
    report.figures.push(Figure::new(what, "/s", rates));
    Ok(())
}

/// Waits until all that was submitted is in the table.
async fn applied(stage: &Stage) -> Result<()> {
    let waiting = "SELECT COUNT(*) FROM memora_srs_journal WHERE applied_at IS NULL";
    let began = Instant::now();
    while stage.test.query_one::<u64>(waiting, ()).await != Some(0) {
        let patience = Duration::from_secs(120);
        anyhow::ensure!(began.elapsed() < patience, "not all was applied");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// How old an answer is when it reaches the table.
async fn design_load(
    apply: &Apply,
    stage: &Stage,
    students: &[Student],
    report: &mut Report,
) -> Result<()> {
    stage.test.exec("DELETE FROM memora_srs_journal", ()).await;
    let sidecar = Sidecar::start_with(&stage.test, &released()?).await?;
    let worker = Worker::start_with(&stage.test, &released()?)?;
    let requests = submits(SubmitOf {
        students: Arc::new(students.to_vec()),
        host: stage.test.name.clone(),
        answers: ANSWERS,
        questions: apply.questions,
        name: "design".to_owned(),
        connections: 64,
    });
    let (address, time) = (sidecar.address, Duration::from_secs(apply.seconds));
    let servers = [
        ("sidecar", sidecar.process.id()),
        ("worker", worker.process.id()),
        ("MariaDB", stage.test.mariadb.pid()),
        ("cache", stage.test.cache.server.pid()),
        ("queue", stage.test.queue.server.pid()),
    ];
    let before = servers.map(|(_, pid)| cpu_seconds(pid));
    let load = wire::paced(address, 64, DESIGN, time, requests).await?;
    applied(stage).await?;
    let ages: Vec<u64> = stage
        .test
        .query(
            "SELECT TIMESTAMPDIFF(MICROSECOND, created_at, applied_at) FROM memora_srs_journal",
            (),
        )
        .await;
    let ages = Latencies::new(ages);
    for percent in [50.0, 99.0, 100.0] {
        let age = ages.percentile(percent).as_secs_f64();
        let what = format!("age of an answer when it is in the table, P{percent}, at design load");
        let figure = Figure::new(what, "s", vec![age]);
        report.figures.push(figure.bar(Bar::AtMost(10.0)));
    }
    let submitted = load.latencies.percentile(99.0).as_secs_f64() * 1e3;
    let what = "submit of 20 at design load, P99";
    report
        .figures
        .push(Figure::new(what, "ms", vec![submitted]));
    for ((name, pid), before) in servers.into_iter().zip(before) {
        let share = (cpu_seconds(pid) - before) / load.elapsed.as_secs_f64() * 100.0;
        let what = format!("processor at design load: {name}");
        report
            .figures
            .push(Figure::new(what, "% of a core", vec![share]));
    }
    Ok(())
}

fn released() -> Result<Start> {
    Ok(Start {
        program: Some(released_binary()?),
        ..Start::default()
    })
}
