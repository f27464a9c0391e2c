//! What does the same work cost in Python, as the implementation before this one does it?
//!
//! The released sidecar and worker, and the stand-in in `benches/peers` (gunicorn with two
//! workers of four threads, and a worker of RQ's), on the same servers with the same rows: a
//! database each, asked in turn by the same load generator. Both are warm. Workers rest while
//! the doors are measured, and then drain what was submitted.
//!
//! The stand-in has an index for its statements, which a fresh install lacks; the last figures
//! are without.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono_tz::Tz;
use memora_benches::report::{Figure, Report};
use memora_benches::{SEASON, SUBMIT, crowd, player, runtime, season};
use memora_tests::process::Process;
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::usage::cpu_seconds;
use memora_tests::wire::{self, Flood, Requests};
use memora_tests::{Sidecar, Student, TestSite, Worker, scratch};
use serde_json::json;
use tokio::time::{Instant, sleep};

const ROUNDS: usize = 7;
const STUDENTS: usize = 200;
/// The others of them only read: their questions stay due.
const SUBMITTING: usize = 100;
const QUESTIONS: usize = 1_000;
/// Due questions of a student, and answers of a submit.
const PAGE: usize = 20;
const CLIENTS: usize = 8;
/// How long a door is asked for one figure.
const LONG: Duration = Duration::from_millis(1_000);
const PATIENCE: Duration = Duration::from_secs(60);
const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
const QUEUE: &str = "rq:queue:srs_write";
const INDEX: &str = "peer_index";

fn main() -> Result<()> {
    runtime().block_on(run())
}

/// One implementation at work.
struct Door<'a> {
    site: &'a TestSite,
    address: SocketAddr,
    /// What it answers with.
    programs: Vec<u32>,
    worker: &'a Process,
    reads: Requests,
    submits: Requests,
    is_peer: bool,
    rounds: Rounds,
}

/// A value for each round.
#[derive(Default)]
struct Rounds {
    read: Load,
    submit: Load,
    persisted: Vec<f64>,
}

#[derive(Default)]
struct Load {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Requests for each processor second of the door's own programs.
    per_second: Vec<f64>,
    /// The same with the servers'.
    per_second_of_all: Vec<f64>,
}

async fn run() -> Result<()> {
    let (ours, students) = crowd::furnish(crowd::Size {
        students: STUDENTS,
        questions: QUESTIONS,
        due: PAGE,
        buffer_pool_mb: 1_024,
    })
    .await?;
    let (theirs, their_students) = peer_site(&ours).await?;
    let start = Start {
        program: Some(released_binary()?),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&ours, &start).await?;
    let worker = Worker::start_with(&ours, &start)?;
    let gunicorn = gunicorn(&theirs).await?;
    let rq = rq_worker(&theirs)?;
    let mut doors = [
        Door {
            site: &ours,
            address: sidecar.address,
            programs: vec![sidecar.process.id()],
            worker: &worker.process,
            reads: reads(&ours, &students),
            submits: submits(&ours, &students),
            is_peer: false,
            rounds: Rounds::default(),
        },
        Door {
            site: &theirs,
            address: gunicorn.1,
            programs: family(gunicorn.0.id())?,
            worker: &rq,
            reads: reads(&theirs, &their_students),
            submits: submits(&theirs, &their_students),
            is_peer: true,
            rounds: Rounds::default(),
        },
    ];
    for door in &mut doors {
        door.round().await?;
        door.rounds = Rounds::default();
    }
    for round in 0..ROUNDS {
        for n in 0..doors.len() {
            doors[(round + n) % 2].round().await?;
        }
    }
    // A student whom the stand-in has not read has only what was submitted.
    let bytes = bytes_of(&ours, ours_keys(&ours).await).await?;
    let mut report = Report::new("peers");
    let [ours, peer] = doors;
    report.figures = figures(&ours.rounds, &peer.rounds);
    let bytes = Figure::new("Redis, a student of 1,000", "bytes", vec![bytes]);
    report.figures.push(bytes);
    report.figures.extend(as_shipped(&peer).await?);
    report.finish()
}

impl Door<'_> {
    /// All figures once.
    async fn round(&mut self) -> Result<()> {
        // Asleep, not ended: what a worker costs to start is another figure.
        self.worker.pause();
        let read = self.measured(self.reads.clone()).await?;
        self.rounds.read.add(read);
        let submit = self.measured(self.submits.clone()).await?;
        let rows = submit.0.answered * PAGE as u64;
        self.rounds.submit.add(submit);
        let start = Instant::now();
        self.worker.resume();
        while !self.is_drained().await? {
            ensure!(start.elapsed() < PATIENCE, "{}", self.worker.log());
            sleep(Duration::from_millis(5)).await;
        }
        let rate = rows as f64 / start.elapsed().as_secs_f64();
        self.rounds.persisted.push(rate);
        Ok(())
    }

    /// A load, and the processor seconds of the door and of all.
    async fn measured(&self, requests: Requests) -> Result<(Flood, f64, f64)> {
        let of = |pids: &[u32]| pids.iter().map(|&pid| cpu_seconds(pid)).sum::<f64>();
        let mut all = self.programs.clone();
        all.extend([
            self.site.mariadb.pid(),
            self.site.cache.server.pid(),
            self.site.queue.server.pid(),
        ]);
        let before = (of(&self.programs), of(&all));
        let flood = wire::flood(self.address, CLIENTS, LONG, requests).await?;
        let used = (of(&self.programs) - before.0, of(&all) - before.1);
        Ok((flood, used.0, used.1))
    }

    /// Whether everything submitted is in the table.
    async fn is_drained(&self) -> Result<bool> {
        if self.is_peer {
            let mut redis = self.site.queue.connection().await;
            let (waiting, working): (u64, u64) = redis::pipe()
                .cmd("LLEN")
                .arg(QUEUE)
                .cmd("ZCARD")
                .arg("rq:wip:srs_write")
                .query_async(&mut redis)
                .await?;
            return Ok(waiting + working == 0);
        }
        let left = "SELECT EXISTS (SELECT 1 FROM memora_srs_journal WHERE applied_at IS NULL)";
        Ok(self.site.query_one::<bool>(left, ()).await == Some(false))
    }
}

impl Load {
    fn add(&mut self, (flood, own, all): (Flood, f64, f64)) {
        let ms = |percent| flood.latencies.percentile(percent).as_secs_f64() * 1e3;
        self.rate.push(flood.rate());
        self.p50.push(ms(50.0));
        self.p99.push(ms(99.0));
        self.per_second.push(flood.answered as f64 / own);
        self.per_second_of_all.push(flood.answered as f64 / all);
    }
}

fn figures(ours: &Rounds, peer: &Rounds) -> Vec<Figure> {
    let beside = |what: &str, unit: &str, ours: &[f64], theirs: &[f64]| {
        Figure::new(what, unit, ours.to_vec()).peer("Python", theirs.to_vec())
    };
    let mut figures = Vec::new();
    for (what, ours, peer) in [
        ("warm read of 20", &ours.read, &peer.read),
        ("submit of 20", &ours.submit, &peer.submit),
    ] {
        for (of, unit, ours, peer) in [
            ("8 clients", "/s", &ours.rate, &peer.rate),
            ("P50", "ms", &ours.p50, &peer.p50),
            ("P99", "ms", &ours.p99, &peer.p99),
            (
                "a CPU-second of the door",
                "",
                &ours.per_second,
                &peer.per_second,
            ),
            (
                "a CPU-second, servers too",
                "",
                &ours.per_second_of_all,
                &peer.per_second_of_all,
            ),
        ] {
            figures.push(beside(&format!("{what}: {of}"), unit, ours, peer));
        }
    }
    let persisted = (&ours.persisted, &peer.persisted);
    figures.push(beside(
        "persisted by one worker",
        "rows/s",
        persisted.0,
        persisted.1,
    ));
    figures
}

/// The stand-in without the index, which a fresh install lacks: one client.
async fn as_shipped(peer: &Door<'_>) -> Result<Vec<Figure>> {
    let drop = format!("DROP INDEX {INDEX} ON `tabPlayer Memory Tracker`");
    peer.site.exec(&drop, ()).await;
    let (mut read, mut submit) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (requests, millis) in [(&peer.reads, &mut read), (&peer.submits, &mut submit)] {
            // So short that it is one request: the next would begin too late.
            let short = Duration::from_millis(1);
            let one = wire::flood(peer.address, 1, short, requests.clone()).await?;
            millis.push(one.latencies.max().as_secs_f64() * 1e3);
        }
    }
    Ok(vec![
        Figure::new(
            "Python without its index: warm read of 20, 1 client",
            "ms",
            read,
        ),
        Figure::new(
            "Python without its index: submit of 20, 1 client",
            "ms",
            submit,
        ),
    ])
}

/// A site as a fresh install of the former implementation has it, on the same servers.
async fn peer_site(ours: &TestSite) -> Result<(TestSite, Vec<Student>)> {
    let site = TestSite::builder()
        .unmigrated()
        .zone(Tz::UTC)
        .on_mariadb(ours.mariadb.clone())
        .on_cache(ours.cache.server.new_db())
        .on_queue(ours.queue.server.new_db())
        .try_build()
        .await?;
    site.add_season(SEASON).await;
    let names: Vec<String> = (0..STUDENTS).map(|n| player(n).to_string()).collect();
    let students = site.add_students(&names).await;
    site.add_questions_to_all(&students, SEASON, QUESTIONS, PAGE)
        .await;
    let index =
        format!("CREATE INDEX {INDEX} ON `tabPlayer Memory Tracker` (player, question_id, season)");
    site.exec(&index, ()).await;
    site.exec("ANALYZE TABLE `tabPlayer Memory Tracker`", ())
        .await;
    Ok((site, students))
}

fn reads(site: &TestSite, students: &[Student]) -> Requests {
    let readers = &students[SUBMITTING..];
    let requests = readers.iter().map(|student| {
        let headers = headers(site, student);
        wire::request("GET", READ, &headers, b"")
    });
    in_turn(requests.collect())
}

fn submits(site: &TestSite, students: &[Student]) -> Requests {
    let answers: serde_json::Value = (0..PAGE)
        .map(|n| json!({"question_id": question_id(n), "quality": 4, "response_time_ms": 4_000}))
        .collect();
    let body = json!({ "responses": answers }).to_string();
    let requests = students[..SUBMITTING].iter().map(|student| {
        let mut headers = headers(site, student);
        headers.push("Content-Type: application/json".to_owned());
        wire::request("POST", SUBMIT, &headers, body.as_bytes())
    });
    in_turn(requests.collect())
}

fn headers(site: &TestSite, student: &Student) -> Vec<String> {
    vec![
        format!("Host: {}", site.name),
        format!("Cookie: {}", student.cookie()),
    ]
}

/// Each connection through all of them, and no two of the same student at once.
fn in_turn(requests: Vec<Vec<u8>>) -> Requests {
    let share = requests.len() / CLIENTS;
    Arc::new(move |c, n| requests[c * share + n as usize % share].clone())
}

async fn ours_keys(ours: &TestSite) -> Vec<String> {
    let keys = ours.site().await.cache.keys(&player(0), &season());
    vec![keys.schedule.clone(), keys.details()]
}

async fn bytes_of(site: &TestSite, keys: Vec<String>) -> Result<f64> {
    let mut redis = site.cache.connection().await;
    let mut bytes = 0;
    for key in keys {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
        let used: Option<u64> = usage.query_async(&mut redis).await?;
        bytes += used.with_context(|| format!("{key} is not there"))?;
    }
    Ok(bytes as f64)
}

/// A program of the environment that `make bench` makes, for this site.
fn python(site: &TestSite, program: &str) -> Result<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = root.join("target/venvs/bench/bin").join(program);
    ensure!(
        program.exists(),
        "make target/venvs/bench/.made makes the peer's environment"
    );
    let opts = site.db_opts();
    let db = json!({
        "host": "127.0.0.1",
        "port": opts.tcp_port(),
        "user": opts.user(),
        "password": opts.pass(),
        "database": opts.db_name(),
    });
    let mut command = Command::new(program);
    command
        .current_dir(root.join("benches/peers"))
        .env("PYTHONPATH", ".")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PEER_DB", db.to_string())
        .env("PEER_CACHE", site.cache.url())
        .env("PEER_QUEUE", site.queue.url())
        .env("PEER_SEASON", SEASON);
    Ok(command)
}

/// Gunicorn, and where it answers.
async fn gunicorn(site: &TestSite) -> Result<(Process, SocketAddr)> {
    let mut command = python(site, "gunicorn")?;
    command.args(["--workers", "2", "--threads", "4", "--bind", "127.0.0.1:0"]);
    command.args(["--keep-alive", "60", "wsgi:app"]);
    let process = Process::start("gunicorn", command, &scratch::new_dir("peer")?.join("log"))?;
    let mut address = None;
    process.wait_until(PATIENCE, || {
        let log = process.log();
        address = (log.split_once("Listening at: http://"))
            .and_then(|(_, rest)| rest.split_once(' '))
            .and_then(|(address, _)| address.parse().ok());
        log.matches("Booting worker").count() == 2
    })?;
    Ok((process, address.context("no address")?))
}

fn rq_worker(site: &TestSite) -> Result<Process> {
    let mut command = python(site, "rq")?;
    command.args(["worker", "srs_write", "--quiet", "--url", &site.queue.url()]);
    Process::start("rq worker", command, &scratch::new_dir("peer")?.join("log"))
}

/// A process with its children.
fn family(parent: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let children = children.split_whitespace().map(str::parse);
    let mut all = vec![parent];
    for child in children {
        all.push(child?);
    }
    Ok(all)
}
