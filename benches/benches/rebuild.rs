//! A season's whole cache is filled: how fast beside what the two servers allow when driven by
//! a bare loop, and what students notice meanwhile.
//!
//! The bare loop reads the same pages by the same two connections and writes sorted sets and
//! hashes of the same size in the same round trips, straight to their place: no leases, no
//! journal, no scripts, nothing is checked. Both run in this process, in turn, each on an
//! empty cache. The promise: 70 % of its speed. Then the released program rebuilds at its
//! default load while students read and submit through a released sidecar. The promise: P99
//! under 100 ms, the maximum under 500 ms.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use memora_benches::crowd::{self, Size};
use memora_benches::{SEASON, SUBMIT, machine, runtime};
use memora_core::services::rebuild::{self, Options};
use memora_core::store::load::many;
use memora_core::types::{Player, Season};
use memora_tests::load::{self, Latencies};
use memora_tests::programs::{self, Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::{Http, Sidecar, Student, TestSite};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=20";
/// Questions of a page, and bytes of a round trip, as the rebuild has them.
const PAGE: u64 = 20_000;
const ROUND_TRIP: usize = 512 * 1024;
/// Records of a bucket of details, and their bytes.
const BUCKET: usize = 48;
const RECORD: usize = 34;

/// A season to be filled.
#[derive(Parser)]
struct Bench {
    /// Students in it.
    #[arg(long, default_value_t = 1_000)]
    students: usize,
    /// Tracked questions of each.
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// How often each of both runs.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests of students a second, meanwhile; every fifth a submit.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Per cent of the time in which the rebuild beside them works.
    #[arg(long, default_value_t = 50)]
    load: u8,
    /// MariaDB's buffer pool in MiB.
    #[arg(long, default_value_t = 4096)]
    buffer_pool: u32,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Bench::parse()))
}

async fn run(bench: &Bench) -> Result<()> {
    let mut out = stdout();
    let program = released_binary()?;
    let began = Instant::now();
    let (test, students) = furnish(bench).await?;
    let total = (bench.students * bench.questions) as f64;
    let made = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "{} students of {} questions made in {made:.0} s; {}",
        bench.students,
        bench.questions,
        machine()
    )?;

    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        flush(&test).await?;
        let began = Instant::now();
        let written = bare_loop(&test).await?;
        bare.push(total / began.elapsed().as_secs_f64());
        ensure!(
            written == bench.students * bench.questions,
            "{written} written"
        );
        flush(&test).await?;
        let site = test.site().await;
        let options = Options {
            load: 100,
            from_start: true,
            ..Options::default()
        };
        let began = Instant::now();
        let report = rebuild::run(&site, SEASON, &options, &|_| {}).await?;
        ours.push(total / began.elapsed().as_secs_f64());
        ensure!(report.total_keys == bench.students as u64, "{report:?}");
        let (bare, ours) = (bare.last().unwrap_or(&1.0), ours.last().unwrap_or(&0.0));
        writeln!(
            out,
            "  bare loop {bare:.0} questions/s, rebuild {ours:.0}: {:.0} %; {}",
            100.0 * ours / bare,
            machine()
        )?;
    }
    let (bare, ours) = (median(bare), median(ours));
    writeln!(
        out,
        "median: bare loop {bare:.0} questions/s, rebuild {ours:.0}: {:.0} % (70 are promised)",
        100.0 * ours / bare
    )?;
    beside_students(bench, &test, students, program).await
}

async fn furnish(bench: &Bench) -> Result<(TestSite, Vec<Student>)> {
    crowd::furnish(Size {
        students: bench.students,
        questions: bench.questions,
        due: 100,
        buffer_pool_mb: bench.buffer_pool,
    })
    .await
}

/// Forgets the schedules; sessions stay.
async fn flush(test: &TestSite) -> Result<()> {
    let site = test.site().await;
    memora_core::services::clear::season(&site, &Season::stored(SEASON), &|_| {}).await?;
    Ok(())
}

/// Where the bare loop is.
#[derive(Default)]
struct Place {
    after: Option<Player>,
    ahead: std::collections::VecDeque<(Player, u64)>,
}

/// Questions written by it.
async fn bare_loop(test: &TestSite) -> Result<usize> {
    let place = Arc::new(Mutex::new(Place::default()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let place = place.clone();
        let conn = Conn::new(test.db_opts()).await?;
        let redis = test.cache.connection().await;
        workers.spawn(bare_pages(conn, redis, place));
    }
    let mut written = 0;
    while let Some(done) = workers.join_next().await {
        written += done.context("a worker died")??;
    }
    Ok(written)
}

async fn bare_pages(
    mut conn: Conn,
    mut redis: redis::aio::MultiplexedConnection,
    place: Arc<Mutex<Place>>,
) -> Result<usize> {
    let season = Season::stored(SEASON);
    let mut written = 0;
    loop {
        let mut players = Vec::new();
        {
            let mut place = place.lock().await;
            if place.ahead.is_empty() {
                let after = place.after.clone();
                let found = many::students(&mut conn, &season, after.as_ref(), 80).await?;
                place.ahead = found
                    .into_iter()
                    .map(|s| (s.of_rows, s.questions))
                    .collect();
                place.after = place
                    .ahead
                    .back()
                    .map(|(player, _)| player.clone())
                    .or(after);
            }
            let mut questions = 0;
            while questions < PAGE
                && let Some((player, of)) = place.ahead.pop_front()
            {
                questions += of;
                players.push(player);
            }
        }
        if players.is_empty() {
            return Ok(written);
        }
        let marks = vec!["?"; players.len()].join(", ");
        let sql = format!(
            "SELECT player, question_id, stability, next_review_date, last_review_date, \
             review_version, subject, topic FROM `tabPlayer Memory Tracker` \
             WHERE player IN ({marks}) AND season = ?"
        );
        let mut params: Vec<Value> = players.iter().map(|p| p.as_str().into()).collect();
        params.push(SEASON.into());
        let rows: Vec<Row> = conn.exec(sql, params).await?;
        written += rows.len();
        bare_write(&mut redis, &rows).await?;
    }
}

async fn bare_write(redis: &mut redis::aio::MultiplexedConnection, rows: &[Row]) -> Result<()> {
    let (mut pipe, mut bytes) = (redis::pipe(), 0);
    for of_one in rows.chunk_by(|a, b| a.as_ref(0) == b.as_ref(0)) {
        let player: String = of_one[0].get(0).context("a player")?;
        let key = format!("srs:{player}:{SEASON}");
        for chunk in of_one.chunks(1000) {
            let mut zadd = redis::cmd("ZADD");
            zadd.arg(&key);
            for row in chunk {
                let question: Vec<u8> = row.get(1).context("a question")?;
                let due: chrono::NaiveDateTime = row.get(3).context("a due time")?;
                zadd.arg(due.and_utc().timestamp()).arg(&question);
                bytes += question.len() + 40;
            }
            pipe.add_command(zadd).ignore();
        }
        let mut hset = redis::cmd("HSET");
        hset.arg(format!("{{{key}}}:d"));
        for (i, bucket) in of_one.chunks(BUCKET).enumerate() {
            hset.arg(format!("b{i}"))
                .arg(vec![7_u8; bucket.len() * RECORD]);
            bytes += bucket.len() * RECORD;
        }
        pipe.add_command(hset).ignore();
        if bytes >= ROUND_TRIP {
            pipe.query_async::<()>(redis).await?;
            (pipe, bytes) = (redis::pipe(), 0);
        }
    }
    pipe.query_async::<()>(redis).await?;
    Ok(())
}

/// What students notice without and with a rebuild.
async fn beside_students(
    bench: &Bench,
    test: &TestSite,
    students: Vec<Student>,
    program: std::path::PathBuf,
) -> Result<()> {
    let mut out = stdout();
    let start = Start {
        program: Some(program),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(test, &start).await?;
    let students = Arc::new(students);
    // Logins and seasons are known then, as they are of students who are there.
    students_do(
        test,
        &sidecar,
        &students,
        bench.rate,
        Duration::from_secs(10),
        0,
    )
    .await;
    let alone = students_do(
        test,
        &sidecar,
        &students,
        bench.rate,
        Duration::from_secs(10),
        1,
    )
    .await;
    writeln!(out, "students at {}/s alone: {alone}", bench.rate)?;
    let load = bench.load.to_string();
    let args = [
        "--season",
        SEASON,
        "--load",
        &load,
        "--from-start",
        "--json",
    ];
    let start = start.args(&args);
    let rebuilding = async {
        let began = Instant::now();
        let said = programs::run(test, &start, "rebuild").await?;
        anyhow::Ok((began.elapsed(), said))
    };
    let meanwhile = async {
        let mut all = Vec::new();
        let mut round = 2;
        loop {
            let time = Duration::from_secs(5);
            all.push(students_do(test, &sidecar, &students, bench.rate, time, round).await);
            let noted = rebuild::status(&*test.site().await, SEASON).await?;
            if noted.is_none_or(|noted| !noted.running) {
                return anyhow::Ok(all);
            }
            round += 1;
        }
    };
    let (rebuilt, meanwhile) = tokio::join!(rebuilding, meanwhile);
    let (took, said) = rebuilt?;
    writeln!(
        out,
        "rebuild at {} % of the time: {:.1} s; {}",
        bench.load,
        took.as_secs_f64(),
        machine()
    )?;
    writeln!(out, "{}", said.trim())?;
    for report in meanwhile? {
        writeln!(
            out,
            "students meanwhile: {report} (P99 < 100 ms, max < 500 ms are promised)"
        )?;
    }
    Ok(())
}

async fn students_do(
    test: &TestSite,
    sidecar: &Sidecar,
    students: &Arc<Vec<Student>>,
    rate: f64,
    time: Duration,
    round: u64,
) -> Latencies {
    let (address, host) = (sidecar.address, test.name.clone());
    let students = students.clone();
    let report = load::run(rate, time, move |n| {
        let http = Http::new(address, &host);
        let students = students.clone();
        async move {
            let student = &students[(n as usize * 7919) % students.len()];
            let call = match n.is_multiple_of(5) {
                true => http.post(SUBMIT).json(&json!({
                    "responses": [{"question_id": question_id(n as usize % 50), "quality": 4}],
                    "submission_id": format!("{round}-{n}"),
                })),
                false => http.get(READ),
            };
            let answer = call.token(student).try_send().await;
            let answer = answer.map_err(|e| format!("{e:#}"))?;
            match answer.status.as_u16() {
                200 => Ok(()),
                status => Err(format!("{status}: {}", answer.text())),
            }
        }
    })
    .await;
    if report.failed + report.unanswered > 0 {
        let _ = writeln!(
            stdout(),
            "  {} failed, {} unanswered: {:?}",
            report.failed,
            report.unanswered,
            report.first_failure
        );
    }
    report.latencies
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}
