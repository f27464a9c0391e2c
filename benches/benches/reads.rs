//! How close does a warm read come to what the machine allows?
//!
//! The released sidecar, `get_review_session` of students with a session cookie, each with
//! [`QUESTIONS`] questions of which [`DUE`] are due; beside it a bare hyper handler that makes
//! the same round trip to Redis (the very command that the sidecar sends, taken down with
//! MONITOR) and answers a body of the same size, and one that answers without asking
//! anybody. Each is a process of its own and asked in turn, flat out, in rounds; then the
//! sidecar and the second at rates up to saturation, latencies from the planned start.
//!
//! The load generator, Redis and MariaDB share the processors with what is measured: what one
//! request costs each of them is measured, too.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::report::{Bar, Figure, Plot, Report, median};
use memora_benches::{DUE, runtime, season};
use memora_core::services::fill;
use memora_core::types::Player;
use memora_tests::process::Process;
use memora_tests::programs::{Start, released_binary};
use memora_tests::usage::{cpu_seconds, most_resident_bytes};
use memora_tests::wire::{self, Flood, Requests};
use memora_tests::{Sidecar, Student, TestSite, scratch};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Tracked questions of each student.
const QUESTIONS: usize = 1_000;
const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
/// Shares of the sidecar's saturation at which latency is measured.
const RATES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// The one that a promise is about, and in how many rounds it is measured.
const HALF: f64 = 0.5;
const PATIENCE: Duration = Duration::from_secs(10);

/// Warm reads beside their limits.
#[derive(Parser)]
struct Reads {
    /// Students, asked in turn.
    #[arg(long, default_value_t = 200)]
    students: usize,
    /// Connections at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Rounds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Another build of the sidecar, for a comparison.
    #[arg(long)]
    program: Option<PathBuf>,
    /// More arguments of the sidecar, for a comparison.
    #[arg(long, allow_hyphen_values = true)]
    sidecar: Vec<String>,
    /// Throughput alone.
    #[arg(long)]
    flood_only: bool,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Reads::parse()))
}

async fn run(reads: &Reads) -> Result<()> {
    let (test, students) = crowd::furnish(Size {
        students: reads.students,
        questions: QUESTIONS,
        due: DUE,
        buffer_pool_mb: 512,
    })
    .await?;
    warm(&test, &students).await?;
    let start = Start {
        program: match &reads.program {
            Some(program) => Some(program.clone()),
            None => Some(released_binary()?),
        },
        args: reads.sidecar.clone(),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let (commands, body_bytes) = take_down(&test, &sidecar, &students).await?;
    let limit = Limit::start(&test, &commands, body_bytes)?;
    let bed = Bed {
        reads,
        sidecar: Side {
            address: sidecar.address,
            pid: sidecar.process.id(),
            requests: asked_in_turn(
                students
                    .iter()
                    .map(|student| read(&test, student))
                    .collect(),
            ),
        },
        same_trip: Side {
            requests: asked_in_turn((0..students.len()).map(|n| limit.get(n)).collect()),
            ..limit.side()
        },
        fixed: Side {
            requests: asked_in_turn(vec![limit.get("fixed")]),
            ..limit.side()
        },
        redis: test.cache.server.pid(),
        mariadb: test.mariadb.pid(),
    };
    bed.measure().await
}

/// Makes everybody's schedule complete in the cache.
async fn warm(test: &TestSite, students: &[Student]) -> Result<()> {
    let site = test.site().await;
    for student in students {
        let player = Player::stored(&student.name);
        fill::run(&site, &player, &season(), &[]).await?;
    }
    Ok(())
}

fn read(test: &TestSite, student: &Student) -> Vec<u8> {
    let headers = [
        format!("Host: {}", test.name),
        "Accept: application/json".to_owned(),
        format!("Cookie: sid={}", student.sid),
    ];
    wire::request("GET", READ, &headers, b"")
}

/// A connection begins at its own place, so that not all ask for the same at once.
fn asked_in_turn(requests: Vec<Vec<u8>>) -> Requests {
    Arc::new(move |connection, n| {
        let at = connection * 7 + usize::try_from(n).unwrap_or_default();
        requests[at % requests.len()].clone()
    })
}

/// Has everybody read once and takes down which command each read sends to Redis; and the
/// bytes of a body. The sidecar is warm then.
async fn take_down(
    test: &TestSite,
    sidecar: &Sidecar,
    students: &[Student],
) -> Result<(Vec<Vec<String>>, usize)> {
    let http = sidecar.http(test);
    // Connections, logins and scripts are known then.
    for student in students {
        http.get(READ).cookie(student).try_send().await?;
    }
    let redis = TcpStream::connect(("127.0.0.1", test.cache.server.port())).await?;
    let mut redis = BufReader::new(redis);
    redis.write_all(b"MONITOR\r\n").await?;
    let mut lines = redis.lines();
    lines.next_line().await?.context("MONITOR")?;
    let (mut commands, mut body_bytes) = (Vec::new(), 0);
    for student in students {
        let answer = http.get(READ).cookie(student).try_send().await?;
        check(&answer.message())?;
        body_bytes = answer.text().len();
        // A marked line ends what this read has sent.
        http.get("/healthz").try_send().await?;
        let mut conn = test.cache.connection().await;
        redis::cmd("ECHO").arg("end").exec_async(&mut conn).await?;
        let mut sent = Vec::new();
        loop {
            let line = timeout(PATIENCE, lines.next_line()).await??;
            let line = line.context("MONITOR ended")?;
            if line.ends_with(r#""ECHO" "end""#) {
                break;
            }
            // What a script calls is its own affair.
            if line.contains(&student.name) && !line.contains(" lua] ") {
                sent.push(words(&line)?);
            }
        }
        ensure!(
            sent.len() == 1,
            "a warm read is one round trip of one command, not {sent:?}"
        );
        commands.append(&mut sent);
    }
    Ok((commands, body_bytes))
}

/// A read must be a whole one, from the cache.
fn check(session: &Value) -> Result<()> {
    let questions = session["questions"].as_array().map_or(0, Vec::len);
    ensure!(
        questions == DUE && session["is_degraded"] == false,
        "not a whole answer: {session}"
    );
    Ok(())
}

/// The words of a line of MONITOR: `1.2 [0 127.0.0.1:1] "GET" "a\x00"`.
fn words(line: &str) -> Result<Vec<String>> {
    let quoted = line.split_once("] ").context("no command")?.1;
    let (mut words, mut word, mut inside) = (Vec::new(), Vec::new(), false);
    let mut bytes = quoted.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if inside => {
                words.push(String::from_utf8(std::mem::take(&mut word))?);
                inside = false;
            }
            b'"' => inside = true,
            b'\\' if inside => word.push(match bytes.next().context("an escape")? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 7,
                b'b' => 8,
                b'x' => {
                    let digits = [bytes.next(), bytes.next()].map(Option::unwrap_or_default);
                    u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
                }
                other => other,
            }),
            byte if inside => word.push(byte),
            _ => {}
        }
    }
    Ok(words)
}

/// The bare handlers.
struct Limit {
    process: Process,
    address: SocketAddr,
}

impl Limit {
    fn start(test: &TestSite, commands: &[Vec<String>], body_bytes: usize) -> Result<Self> {
        let folder = scratch::new_dir("limit")?;
        let file = folder.join("commands.json");
        fs::write(&file, serde_json::to_vec(commands)?)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_memora-bench-limit"));
        command
            .arg("--redis")
            .arg(test.cache.url())
            .arg("--commands")
            .arg(file)
            .arg("--body-bytes")
            .arg(body_bytes.to_string());
        let process = Process::start("memora-bench-limit", command, &folder.join("log"))?;
        let mut address = None;
        process.wait_until(PATIENCE, || {
            let log = process.log();
            let said = log
                .split_once("http://")
                .and_then(|(_, rest)| rest.lines().next());
            address = said.and_then(|address| address.parse().ok());
            address.is_some()
        })?;
        let address = address.context("no address")?;
        Ok(Self { process, address })
    }

    fn get(&self, what: impl std::fmt::Display) -> Vec<u8> {
        let headers = [
            format!("Host: {}", self.address),
            "Accept: application/json".to_owned(),
        ];
        wire::request("GET", &format!("/{what}"), &headers, b"")
    }

    /// To be told what to ask.
    fn side(&self) -> Side {
        Side {
            address: self.address,
            pid: self.process.id(),
            requests: asked_in_turn(vec![self.get("fixed")]),
        }
    }
}

/// Who is asked, and what.
struct Side {
    address: SocketAddr,
    pid: u32,
    requests: Requests,
}

/// Processor microseconds of each process for one request.
#[derive(Clone, Copy)]
struct Cost {
    side: f64,
    redis: f64,
    mariadb: f64,
    generator: f64,
}

struct Bed<'a> {
    reads: &'a Reads,
    sidecar: Side,
    same_trip: Side,
    fixed: Side,
    redis: u32,
    mariadb: u32,
}

impl Bed<'_> {
    async fn measure(&self) -> Result<()> {
        let mut rates: [Vec<f64>; 3] = Default::default();
        let mut costs: [Vec<Cost>; 3] = Default::default();
        let sides = [&self.sidecar, &self.same_trip, &self.fixed];
        let mut bytes = [0; 3];
        for round in 0..=self.reads.rounds {
            for (i, side) in sides.into_iter().enumerate() {
                let (flood, cost) = self.flood(side).await?;
                // The first is for caches and branch predictors.
                if round > 0 {
                    rates[i].push(flood.rate());
                    costs[i].push(cost);
                }
                bytes[i] = flood.answer_bytes;
            }
        }
        let [ours, same_trip, fixed] = rates;
        let saturation = median(&ours);
        let micros = |costs: &[Cost], of: fn(&Cost) -> f64| costs.iter().map(of).collect();
        let mut report = Report::new("reads");
        let [our_cost, limit_cost, fixed_cost] = &costs;
        report.figures = vec![
            Figure::new("warm reads", "/s", ours.clone())
                .limit("bare hyper and the same round trip", same_trip)
                .bar(Bar::ShareOfLimit(0.7)),
            Figure::new("warm reads", "/s", ours).limit("bare hyper alone", fixed),
            Figure::new(
                "processor time of the sidecar for a read",
                "µs",
                micros(our_cost, |cost| cost.side),
            )
            .limit(
                "bare hyper and the same round trip",
                micros(limit_cost, |cost| cost.side),
            ),
            Figure::new(
                "reads for a processor second of the sidecar",
                "",
                micros(our_cost, |cost| 1e6 / cost.side),
            )
            .limit(
                "bare hyper alone",
                micros(fixed_cost, |cost| 1e6 / cost.side),
            ),
            Figure::new(
                "processor time of Redis for a read",
                "µs",
                micros(our_cost, |cost| cost.redis),
            )
            .limit("the bare handler's", micros(limit_cost, |cost| cost.redis)),
            Figure::new(
                "processor time of the load generator for a read",
                "µs",
                micros(our_cost, |cost| cost.generator),
            )
            .limit(
                "the bare handler's",
                micros(limit_cost, |cost| cost.generator),
            ),
            Figure::new(
                "processor time of MariaDB for a read",
                "µs",
                micros(our_cost, |cost| cost.mariadb),
            ),
        ];
        if !self.reads.flood_only {
            self.latencies(saturation, &mut report).await?;
        }
        let resident = most_resident_bytes(self.sidecar.pid) as f64 / (1024.0 * 1024.0);
        report.figures.push(Figure::new(
            "memory of the sidecar, at most",
            "MiB",
            vec![resident],
        ));
        report.finish()?;
        writeln!(
            stdout(),
            "bytes of an answer, head included: sidecar {}, bare {}",
            bytes[0],
            bytes[1]
        )?;
        Ok(())
    }

    async fn flood(&self, side: &Side) -> Result<(Flood, Cost)> {
        let pids = [side.pid, self.redis, self.mariadb, std::process::id()];
        let before = pids.map(cpu_seconds);
        let duration = Duration::from_secs_f64(self.reads.seconds);
        let requests = side.requests.clone();
        let flood = wire::flood(side.address, self.reads.connections, duration, requests).await?;
        let mut used = pids.map(cpu_seconds);
        for (after, before) in used.iter_mut().zip(before) {
            *after = (*after - before) * 1e6 / flood.answered.max(1) as f64;
        }
        let [side, redis, mariadb, generator] = used;
        let cost = Cost {
            side,
            redis,
            mariadb,
            generator,
        };
        Ok((flood, cost))
    }

    async fn latencies(&self, saturation: f64, report: &mut Report) -> Result<()> {
        let ms = |flood: &Flood, percent| flood.latencies.percentile(percent).as_secs_f64() * 1e3;
        let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        let sides = [
            ("sidecar", &self.sidecar),
            ("bare, same round trip", &self.same_trip),
        ];
        for share in RATES {
            let rate = saturation * share;
            let rounds = if share == HALF { self.reads.rounds } else { 1 };
            let mut percentiles: [[Vec<f64>; 2]; 2] = Default::default();
            for _ in 0..rounds {
                for ((_, side), of_side) in sides.iter().zip(&mut percentiles) {
                    let flood = self.paced(side, rate).await?;
                    of_side[0].push(ms(&flood, 50.0));
                    of_side[1].push(ms(&flood, 99.0));
                }
            }
            for ((name, _), [p50, p99]) in sides.iter().zip(&percentiles) {
                for (percentile, rounds) in [("P50", p50), ("P99", p99)] {
                    let curve = curves.entry(format!("{name}, {percentile}")).or_default();
                    curve.push((rate, median(rounds)));
                }
            }
            let [[our_p50, our_p99], [p50, p99]] = percentiles;
            let at = format!("at {:.0} % of saturation", share * 100.0);
            let beside = "bare hyper and the same round trip";
            report
                .figures
                .push(Figure::new(format!("P50 {at}"), "ms", our_p50).limit(beside, p50));
            let figure = Figure::new(format!("P99 {at}"), "ms", our_p99).limit(beside, p99);
            report.figures.push(match share == HALF {
                true => figure.bar(Bar::AtMost(5.0)),
                false => figure,
            });
        }
        report.plots.push(Plot {
            title: "Latency of a warm read by rate".to_owned(),
            x: "reads a second".to_owned(),
            y: "milliseconds from the planned start".to_owned(),
            curves,
            log_y: true,
        });
        Ok(())
    }

    async fn paced(&self, side: &Side, rate: f64) -> Result<Flood> {
        let duration = Duration::from_secs_f64(self.reads.seconds);
        let (address, requests) = (side.address, side.requests.clone());
        wire::paced(address, self.reads.connections, rate, duration, requests).await
    }
}
