//! What do students notice while the Redis with the schedules is killed and comes back?
//!
//! A released sidecar and worker under steady reads and submits at a planned rate; the
//! cache, which holds the sessions too, is killed (`kill -9`) and started again, empty,
//! several times. The promises: the first degraded answer within a second, the last one within
//! five of its return, no answer but 200 and 429, and no read that lacks an acknowledged submit.

use std::io::{Write, stdout};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use memora_benches::{SEASON, SUBMIT, machine, runtime};
use memora_tests::http::Answer;
use memora_tests::load::{self, Latencies};
use memora_tests::programs::{Start, released_binary};
use memora_tests::questions::question_id;
use memora_tests::{Http, Sidecar, Student, TestSite, Worker};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const READ: &str = "/api/method/memora.api.reviews.get_review_session?limit=50";
/// Due questions of each student: fewer than a page, so that a read shows them all.
const DUE: usize = 40;
const CONNECTIONS: usize = 128;
/// Two of five requests are submits.
const SUBMITS: u64 = 2;
const OF: u64 = 5;
/// How long a submit that was acknowledged as degraded may take to show.
const DEGRADED_SHOWS: Duration = Duration::from_secs(1);

/// Kills the cache under load.
#[derive(Parser)]
struct Outage {
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds without it; in each further round a little longer, so that it does not always
    /// come back right before it is looked for.
    #[arg(long, default_value_t = 5.0)]
    away: f64,
    /// Seconds with it, before each kill and after the last return.
    #[arg(long, default_value_t = 8.0)]
    well: f64,
    /// Requests a second.
    #[arg(long, default_value_t = 150.0)]
    rate: f64,
    /// Students.
    #[arg(long, default_value_t = 600)]
    students: usize,
    /// Of `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    runtime().block_on(run(&Outage::parse()))
}

async fn run(outage: &Outage) -> Result<()> {
    let program = released_binary()?;
    let test = TestSite::builder()
        .own_mariadb()
        .own_cache()
        .own_queue()
        // As they are where nobody sets them.
        .config("srs_state_budget_ms", json!(100))
        .config("srs_journal_budget_ms", json!(150))
        .try_build()
        .await?;
    test.add_season(SEASON).await;
    let names: Vec<String> = (0..outage.students)
        .map(|n| format!("student-{n:06}@example.com"))
        .collect();
    let students = test.add_students(&names).await;
    test.add_questions_to_all(&students, SEASON, DUE, DUE).await;
    let start = Start {
        program: Some(program),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&test, &start).await?;
    let _worker = Worker::start_with(&test, &start)?;
    let class = Arc::new(Class::new(&sidecar, &test, students));
    // Everybody is logged in and warm.
    for n in 0..outage.students {
        class.read(n).await;
    }
    class.take();

    let away = |round: u32| Duration::from_secs_f64(outage.away + 0.11 * f64::from(round));
    let well = Duration::from_secs_f64(outage.well);
    let duration = well + (0..outage.rounds).map(|n| away(n) + well).sum::<Duration>();
    let working = tokio::spawn({
        let class = class.clone();
        load::run(outage.rate, duration, move |n| {
            let class = class.clone();
            async move { class.act(n).await }
        })
    });
    let mut rounds = Vec::new();
    for round in 0..outage.rounds {
        sleep(well).await;
        let killed = Instant::now();
        test.cache.server.kill();
        sleep(away(round)).await;
        // From before it answers: the stricter reading.
        let back = Instant::now();
        test.cache.server.start_again().await;
        rounds.push((killed, back));
    }
    let report = working.await.context("the load")?;
    print(outage, &rounds, &class.take(), &report)
}

/// What came of one request.
struct Seen {
    began: Instant,
    ended: Instant,
    /// `None`: no answer.
    status: Option<u16>,
    degraded: bool,
    /// A read that does not show what it must.
    stale: Option<String>,
}

/// A student as far as this one was told something.
struct Pupil {
    student: Student,
    /// Submits so far: the next question to answer.
    next: AtomicUsize,
    /// What was acknowledged: question, from when on it must show.
    taken: Mutex<Vec<(String, Instant)>>,
    /// What was sent, acknowledged or not: it may show.
    sent: Mutex<Vec<String>>,
}

/// Students, their clients, and what they saw.
struct Class {
    pupils: Vec<Pupil>,
    clients: Vec<Http>,
    seen: Mutex<Vec<Seen>>,
}

impl Class {
    fn new(sidecar: &Sidecar, test: &TestSite, students: Vec<Student>) -> Self {
        let pupils = students.into_iter().map(|student| Pupil {
            student,
            next: AtomicUsize::new(0),
            taken: Mutex::default(),
            sent: Mutex::default(),
        });
        Self {
            pupils: pupils.collect(),
            clients: (0..CONNECTIONS).map(|_| sidecar.http(test)).collect(),
            seen: Mutex::default(),
        }
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.seen))
    }

    async fn act(&self, n: u64) -> Result<(), String> {
        // Neighbours in time are not neighbours in the class, and everybody does both.
        let (n_th, class) = (n as usize, self.pupils.len());
        let who = (n_th * 7919 + n_th / class) % class;
        match n % OF < SUBMITS {
            true => self.submit(who).await,
            false => self.read(who).await,
        }
        Ok(())
    }

    async fn submit(&self, who: usize) {
        let pupil = &self.pupils[who];
        let number = pupil.next.fetch_add(1, Ordering::Relaxed);
        let question = question_id(number % DUE);
        lock(&pupil.sent).push(question.clone());
        let body = json!({
            "responses": [{"question_id": question, "quality": 4, "response_time_ms": 4000}],
        });
        let client = &self.clients[(who + number) % CONNECTIONS];
        let call = client.post(SUBMIT).json(&body);
        let call = match who.is_multiple_of(2) {
            true => call.cookie(&pupil.student),
            false => call.token(&pupil.student),
        };
        let began = Instant::now();
        let answer = call.try_send().await.ok();
        let ended = Instant::now();
        let degraded = says_degraded(answer.as_ref());
        if answer.as_ref().is_some_and(|a| a.status == 200) {
            let shows = if degraded {
                ended + DEGRADED_SHOWS
            } else {
                ended
            };
            lock(&pupil.taken).push((question, shows));
        }
        self.saw(began, ended, answer.as_ref(), degraded, None);
    }

    async fn read(&self, who: usize) {
        let pupil = &self.pupils[who];
        let client = &self.clients[(who * 31) % CONNECTIONS];
        let call = match who.is_multiple_of(2) {
            true => client.get(READ).cookie(&pupil.student),
            false => client.get(READ).token(&pupil.student),
        };
        // The client may have others to send first: what is acknowledged then counts as well,
        // but not here, where nobody could tell in which order.
        let began = Instant::now();
        let answer = call.try_send().await.ok();
        let ended = Instant::now();
        let degraded = says_degraded(answer.as_ref());
        let stale = answer
            .as_ref()
            .filter(|a| a.status == 200)
            .and_then(|a| pupil.stale(&a.message(), began));
        self.saw(began, ended, answer.as_ref(), degraded, stale);
    }

    fn saw(
        &self,
        began: Instant,
        ended: Instant,
        answer: Option<&Answer>,
        degraded: bool,
        stale: Option<String>,
    ) {
        lock(&self.seen).push(Seen {
            began,
            ended,
            status: answer.map(|a| a.status.as_u16()),
            degraded,
            stale,
        });
    }
}

impl Pupil {
    /// What a read that began then should not have shown, or should have.
    fn stale(&self, session: &Value, began: Instant) -> Option<String> {
        let shown: Vec<&str> = session["questions"]
            .as_array()?
            .iter()
            .filter_map(|q| q["question_id"].as_str())
            .collect();
        let mut gone: Vec<String> = lock(&self.taken)
            .iter()
            .filter(|(_, shows)| *shows <= began)
            .map(|(question, _)| question.clone())
            .collect();
        gone.sort();
        gone.dedup();
        let mut sent = lock(&self.sent).clone();
        sent.sort();
        sent.dedup();
        let total = session["total_due"].as_u64()? as usize;
        let degraded = session["is_degraded"] == true;
        let again = shown.iter().find(|q| gone.iter().any(|g| g == *q));
        let fits = (DUE - sent.len()..=DUE - gone.len()).contains(&total);
        if again.is_none() && fits && (degraded || shown.len() == total) {
            return None;
        }
        let who = &self.student.name;
        Some(format!(
            "{who}: {again:?} again, total {total}, {} of {DUE} taken",
            gone.len()
        ))
    }
}

fn says_degraded(answer: Option<&Answer>) -> bool {
    let Some(answer) = answer else { return false };
    answer.status == 200 && answer.message()["is_degraded"] == true
}

/// Seconds and latencies of each round, and what may not be.
fn print(
    outage: &Outage,
    rounds: &[(Instant, Instant)],
    seen: &[Seen],
    report: &load::Report,
) -> Result<()> {
    let mut out = stdout();
    writeln!(
        out,
        "outage of the cache: {} students, {} requests a second, {} s away; {}",
        outage.students,
        outage.rate,
        outage.away,
        machine()
    )?;
    writeln!(
        out,
        "| round | first degraded, s | last degraded or limited, s | 200 | degraded | 429 | others \
         | P99, ms | max, ms |"
    )?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for (n, (killed, back)) in rounds.iter().enumerate() {
        let next = rounds.get(n + 1).map(|(killed, _)| *killed);
        let during: Vec<&Seen> = seen
            .iter()
            .filter(|s| s.ended >= *killed && next.is_none_or(|next| s.ended < next))
            .collect();
        let first = during.iter().filter(|s| s.degraded).map(|s| s.ended).min();
        let last = during
            .iter()
            .filter(|s| s.degraded || s.status == Some(429))
            .map(|s| s.ended)
            .max();
        let seconds = |at: Option<Instant>, from: Instant| match at {
            Some(at) => format!("{:.2}", at.saturating_duration_since(from).as_secs_f64()),
            None => "never".to_owned(),
        };
        let count = |what: &dyn Fn(&Seen) -> bool| during.iter().filter(|s| what(s)).count();
        let micros = during
            .iter()
            .map(|s| (s.ended - s.began).as_micros() as u64);
        let latencies = Latencies::new(micros.collect());
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} |",
            n + 1,
            seconds(first, *killed),
            seconds(last, *back),
            count(&|s| s.status == Some(200)),
            count(&|s| s.degraded),
            count(&|s| s.status == Some(429)),
            count(&|s| !matches!(s.status, Some(200 | 429))),
            ms(latencies.percentile(99.0)),
            ms(latencies.max()),
        )?;
    }
    let other = seen.iter().filter(|s| !matches!(s.status, Some(200 | 429)));
    let mut others = std::collections::BTreeMap::new();
    for seen in other {
        *others.entry(seen.status).or_insert(0) += 1;
    }
    let stale: Vec<&String> = seen.iter().filter_map(|s| s.stale.as_ref()).collect();
    writeln!(
        out,
        "answers {}, other than 200 and 429: {others:?}, stale: {}, never sent in time: {:.0} ms at most; {}",
        seen.len(),
        stale.len(),
        report.latest_start.as_secs_f64() * 1e3,
        machine()
    )?;
    for stale in stale.iter().take(5) {
        writeln!(out, "stale: {stale}")?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
