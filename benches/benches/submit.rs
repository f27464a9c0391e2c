//! How many submits of 20 answers does the sidecar acknowledge a second, each durable?
//!
//! Over HTTP against the released program, 64 connections, students in turn with their
//! schedules in the cache, no worker beside. Beside it the bare journal insert: as many
//! connections to MariaDB, each committing one row of the same size after the other. Then
//! latencies at several rates, and what each process spends on a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::report::{Bar, Figure, Plot, Report, median};
use memora_benches::{SEASON, Stage, SubmitOf, runtime, submits};
use memora_core::types::UtcMicros;
use memora_tests::programs::{Start, released_binary};
use memora_tests::usage::cpu_seconds;
use memora_tests::{Sidecar, Student, TestSite, wire};
use mysql_async::prelude::Queryable;
use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 64;
const ANSWERS: usize = 20;
/// Shares of the saturation at which latencies are taken.
const SHARES: [f64; 4] = [0.25, 0.5, 0.75, 0.9];

/// Submitting, beside the bare journal insert.
#[derive(Parser)]
struct Submit {
    #[arg(long, default_value_t = 1_000)]
    students: usize,
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each side of a round, and of each rate.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// MariaDB's buffer pool in MiB.
    #[arg(long, default_value_t = 1024)]
    buffer_pool: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Submit::parse()))
}

async fn run(submit: &Submit) -> Result<()> {
    let (test, students) = crowd::furnish(Size {
        students: submit.students,
        questions: submit.questions,
        due: ANSWERS,
        buffer_pool_mb: submit.buffer_pool,
    })
    .await?;
    let site = test.site().await;
    let stage = Stage { test, site };
    for student in &students {
        stage.warm(&student.player()).await;
    }
    let start = Start {
        program: Some(released_binary()?),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&stage.test, &start).await?;
    let load = Load {
        stage: &stage,
        sidecar: &sidecar,
        students: Arc::new(students),
        questions: submit.questions,
        time: Duration::from_secs(submit.seconds),
    };
    let pool = pool(&stage.test);
    // The first round opens connections, checks logins and prepares statements.
    load.flood("warm").await?;
    let request = memora_benches::answers(ANSWERS);
    stage.submit(&load.students[0].player(), &request).await;
    let payload = payload(&stage.test).await?;
    load.bare(&pool, payload).await?;

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let mut costs: Vec<(&str, Vec<f64>)> = load.pids().map(|(name, _)| (name, Vec::new())).to_vec();
    for round in 0..submit.rounds {
        let before = load.pids().map(|(_, pid)| cpu_seconds(pid));
        let flood = load.flood(&format!("round{round}")).await?;
        for ((pid, before), (_, cost)) in load.pids().iter().zip(before).zip(&mut costs) {
            cost.push((cpu_seconds(pid.1) - before) * 1e6 / flood.answered as f64);
        }
        ours.push(flood.rate());
        bare.push(load.bare(&pool, payload).await?);
    }
    let saturation = median(&ours);
    let mut report = Report::new("submit");
    report.figures.push(
        Figure::new("submit of 20 answers over HTTP, 64 connections", "/s", ours)
            .limit(&format!("bare journal insert of {payload} bytes"), bare)
            .bar(Bar::ShareOfLimit(0.6)),
    );
    for (name, cost) in costs {
        let what = format!("processor time of a submit: {name}");
        report.figures.push(Figure::new(what, "µs", cost));
    }
    let mut plot = Plot {
        title: "Submit latency by rate".to_owned(),
        x: "submits/s".to_owned(),
        y: "ms".to_owned(),
        ..Plot::default()
    };
    for share in SHARES {
        let rate = saturation * share;
        let paced = load
            .paced(&format!("paced{:.0}", share * 100.0), rate)
            .await?;
        for percent in [50.0, 99.0] {
            let latency = paced.latencies.percentile(percent).as_secs_f64() * 1e3;
            let curve = plot.curves.entry(format!("P{percent}")).or_default();
            curve.push((rate, latency));
            let what = format!("submit at {:.0} % of saturation, P{percent}", share * 100.0);
            let figure = Figure::new(what, "ms", vec![latency]);
            report.figures.push(match (share, percent) {
                (0.5, 99.0) => figure.bar(Bar::AtMost(50.0)),
                _ => figure,
            });
        }
    }
    report.plots.push(plot);
    report.finish()
}

struct Load<'a> {
    stage: &'a Stage,
    sidecar: &'a Sidecar,
    students: Arc<Vec<Student>>,
    questions: usize,
    time: Duration,
}

impl Load<'_> {
    fn requests(&self, name: &str) -> wire::Requests {
        submits(SubmitOf {
            students: self.students.clone(),
            host: self.stage.test.name.clone(),
            answers: ANSWERS,
            questions: self.questions,
            name: name.to_owned(),
            connections: CONNECTIONS,
        })
    }

    async fn flood(&self, name: &str) -> Result<wire::Flood> {
        let (address, requests) = (self.sidecar.address, self.requests(name));
        let flood = wire::flood(address, CONNECTIONS, self.time, requests).await?;
        self.all_are_durable(name, flood.answered).await?;
        self.forget().await?;
        Ok(flood)
    }

    async fn paced(&self, name: &str, rate: f64) -> Result<wire::Flood> {
        let (address, requests) = (self.sidecar.address, self.requests(name));
        let paced = wire::paced(address, CONNECTIONS, rate, self.time, requests).await?;
        self.all_are_durable(name, paced.answered).await?;
        self.forget().await?;
        Ok(paced)
    }

    /// A row of the bare insert after the other, on as many connections; rows a second.
    async fn bare(&self, pool: &Pool, payload: usize) -> Result<f64> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for task in 0..CONNECTIONS {
            let (pool, students, time) = (pool.clone(), self.students.clone(), self.time);
            tasks.spawn(async move {
                let mut conn = pool.get_conn().await?;
                let mut rows = 0_u64;
                while began.elapsed() < time {
                    let player = &students[(rows as usize * CONNECTIONS + task) % students.len()];
                    let id = format!("bare-{}-{task}-{rows}", UtcMicros::now().0);
                    let attempt = UtcMicros::now().0.to_be_bytes().repeat(2);
                    conn.exec_drop(
                        "INSERT INTO memora_srs_journal \
                         (player, submission_id, attempt, fingerprint, season, payload) \
                         VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            &player.name,
                            id,
                            &attempt,
                            attempt.repeat(2),
                            SEASON,
                            "x".repeat(payload),
                        ),
                    )
                    .await?;
                    rows += 1;
                }
                anyhow::Ok(rows)
            });
        }
        let mut rows = 0;
        while let Some(done) = tasks.join_next().await {
            rows += done??;
        }
        let rate = rows as f64 / began.elapsed().as_secs_f64();
        self.forget().await?;
        Ok(rate)
    }

    /// What was acknowledged is in the journal, whole.
    async fn all_are_durable(&self, name: &str, answered: u64) -> Result<()> {
        let rows = "SELECT COUNT(*) FROM memora_srs_journal WHERE submission_id LIKE ?";
        let rows: Option<u64> = self
            .stage
            .test
            .query_one(rows, (format!("{name}-%"),))
            .await;
        anyhow::ensure!(
            rows == Some(answered),
            "{rows:?} rows of {answered} answers"
        );
        Ok(())
    }

    /// What the next round must not meet.
    async fn forget(&self) -> Result<()> {
        self.stage
            .test
            .exec("TRUNCATE memora_srs_journal", ())
            .await;
        let mut queue = self.stage.test.queue.connection().await;
        redis::cmd("FLUSHDB").exec_async(&mut queue).await?;
        Ok(())
    }

    fn pids(&self) -> [(&'static str, u32); 5] {
        [
            ("sidecar", self.sidecar.process.id()),
            ("MariaDB", self.stage.test.mariadb.pid()),
            ("cache", self.stage.test.cache.server.pid()),
            ("queue", self.stage.test.queue.server.pid()),
            ("load generator", std::process::id()),
        ]
    }
}

/// Bytes of a payload, as the last submit of ours wrote it.
async fn payload(test: &TestSite) -> Result<usize> {
    let bytes: Option<u64> = test
        .query_one("SELECT LENGTH(payload) FROM memora_srs_journal LIMIT 1", ())
        .await;
    Ok(bytes.context("no journal row")? as usize)
}

fn pool(test: &TestSite) -> Pool {
    let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS).unwrap_or_default();
    let options = PoolOpts::default()
        .with_constraints(constraints)
        .with_reset_connection(false);
    Pool::new(OptsBuilder::from_opts(test.db_opts()).pool_opts(options))
}
