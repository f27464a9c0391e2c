//! Servers, programs, and a proxy between each program and each server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use chrono_tz::Tz;
use memora_tests::process::Process;
use memora_tests::programs::Start;
use memora_tests::proxy::{Fault, Proxy};
use memora_tests::scratch;
use memora_tests::servers::{MariaDbOptions, RedisOptions};
use memora_tests::soak::Dice;
use memora_tests::soak::evidence::SECOND;
use memora_tests::soak::plan::{Network, Program, SIDECARS, Server, WORKERS};
use memora_tests::{Due, Sidecar, Student, TestSite, Worker};
use serde_json::json;

use crate::{Soak, report};

/// The season.
pub(crate) const SEASON: &str = "SEASON-2026";
/// Hosts' clocks differ by so much: the second sidecar and the second worker are late.
const SKEW_MS: i64 = -5000;
/// Zones with and without daylight saving.
const ZONES: [Tz; 3] = [Tz::Europe__Berlin, Tz::Asia__Kolkata, Tz::America__New_York];

/// RQ's own worker, as `bench worker` runs it.
const RQ_WORKER: &str = "
import sys, redis, rq
connection = redis.Redis.from_url(sys.argv[1], socket_timeout=10)
rq.Worker([sys.argv[2]], connection=connection).work()
";

/// Everything that runs.
pub(crate) struct Stage {
    /// The site.
    pub(crate) site: TestSite,
    /// The students.
    pub(crate) students: Vec<Student>,
    /// Whether the queue Redis keeps an append-only file.
    pub(crate) aof: bool,
    sidecars: Vec<Mutex<Option<Sidecar>>>,
    addresses: Vec<Mutex<SocketAddr>>,
    workers: Vec<Mutex<Option<Worker>>>,
    rq: Mutex<Option<Process>>,
    /// For each program: to cache, queue, MariaDB.
    proxies: Vec<[Proxy; 3]>,
    plant: Option<String>,
    python: Option<std::path::PathBuf>,
    crashes: Mutex<Vec<String>>,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn set(soak: &Soak, dice: &mut Dice) -> Result<Self> {
        ensure!(
            soak.students > 0 && soak.questions > 0,
            "one student and one question at least"
        );
        // What shows when the queue is lost needs a queue that can be lost.
        let losable = soak.plant.is_some() || soak.aim.is_some() || soak.double_fault;
        let aof = !losable && soak.seed.is_multiple_of(2);
        let zone = dice.pick(&ZONES).copied().unwrap_or(Tz::UTC);
        let cache = RedisOptions {
            dump: true,
            ..RedisOptions::default()
        };
        let queue = RedisOptions {
            appendonly: aof,
            ..RedisOptions::default()
        };
        let site = TestSite::builder()
            .zone(zone)
            .own_mariadb_with(MariaDbOptions::default())
            .own_cache_with(cache)
            .own_queue_with(queue)
            // A lapse is due again after a minute, within the run.
            .config(
                "srs_scheduler",
                json!({"relearn_minutes": 1, "lapse_factor": 0}),
            )
            .try_build()
            .await?;
        site.add_season(SEASON).await;
        let mut students = Vec::new();
        for i in 0..soak.students {
            let student = site.add_student(&format!("s{i:04}@example.com")).await;
            let due = Due::First(soak.questions / 2);
            site.add_questions(&student.name, SEASON, soak.questions, due)
                .await;
            students.push(student);
        }
        let (cache, queue, mariadb) = (
            site.cache.server.port(),
            site.queue.server.port(),
            site.mariadb.port(),
        );
        let mut proxies = Vec::new();
        for _ in 0..SIDECARS + WORKERS + 1 {
            proxies.push([
                Proxy::start(cache).await,
                Proxy::start(queue).await,
                Proxy::start(mariadb).await,
            ]);
        }
        // The wheel keeps the rules; whatever it does is done right.
        let python = match soak.plant {
            Some(_) => None,
            None => usable(&soak.python),
        };
        if python.is_none() && soak.plant.is_none() {
            report::say(&format!(
                "no worker of RQ's: {} has no rq and memora_srs (make test-python installs them)",
                soak.python.display()
            ));
        }
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let stage = Self {
            site,
            students,
            aof,
            sidecars: (0..SIDECARS).map(|_| Mutex::new(None)).collect(),
            addresses: (0..SIDECARS).map(|_| Mutex::new(nowhere)).collect(),
            workers: (0..WORKERS).map(|_| Mutex::new(None)).collect(),
            rq: Mutex::new(None),
            proxies,
            plant: soak.plant.clone(),
            python,
            crashes: Mutex::default(),
        };
        for program in programs() {
            stage.start(program).await?;
        }
        Ok(stage)
    }

    /// Where a sidecar answers now.
    pub(crate) fn address(&self, door: usize) -> SocketAddr {
        *lock(&self.addresses[door])
    }

    /// Microseconds by which the clock of each sidecar is ahead.
    pub(crate) fn skews(&self) -> Vec<i64> {
        (0..SIDECARS).map(|n| skew_ms(n) * SECOND / 1000).collect()
    }

    /// Starts a program, in place of the one that ran.
    pub(crate) async fn start(&self, program: Program) -> Result<()> {
        match program {
            Program::Sidecar(n) => {
                *lock(&self.sidecars[n]) = None;
                let sidecar = Sidecar::start_with(&self.site, &self.how(program)).await?;
                *lock(&self.addresses[n]) = sidecar.address;
                *lock(&self.sidecars[n]) = Some(sidecar);
            }
            Program::Worker(n) => {
                *lock(&self.workers[n]) = None;
                let worker = Worker::start_with(&self.site, &self.how(program))?;
                *lock(&self.workers[n]) = Some(worker);
            }
            Program::Rq => {
                *lock(&self.rq) = None;
                *lock(&self.rq) = self.rq_worker()?;
            }
        }
        Ok(())
    }

    /// Does something to the process of a program, if there is one.
    pub(crate) fn with(&self, program: Program, act: impl Fn(&Process)) {
        match program {
            Program::Sidecar(n) => lock(&self.sidecars[n]).iter().for_each(|s| act(&s.process)),
            Program::Worker(n) => lock(&self.workers[n]).iter().for_each(|w| act(&w.process)),
            Program::Rq => lock(&self.rq).iter().for_each(act),
        }
    }

    /// Sets the network between a program and a server; `None` heals it.
    pub(crate) fn link(&self, program: Program, server: Server, network: Option<Network>) {
        let millis = std::time::Duration::from_millis;
        let fault = match network {
            None => Fault::None,
            Some(Network::Cut) => Fault::Cut,
            Some(Network::Hang) => Fault::BlackHole,
            Some(Network::HoldAnswers) => Fault::HoldAnswers,
            Some(Network::Slow(ms)) => Fault::Delay(millis(ms)),
        };
        self.proxies[number(program)][server as usize].set(fault);
    }

    /// Notes programs that ended by themselves, and starts them again, as a supervisor.
    pub(crate) async fn look_after(&self) -> Result<()> {
        for program in programs() {
            let ended = Mutex::new(None);
            self.with(program, |process| {
                if process.exit_status().is_some() {
                    *lock(&ended) = Some(process.state());
                }
            });
            let ended = lock(&ended).take();
            let Some(state) = ended else { continue };
            // RQ's own worker ends when it has not heard of Redis for a while.
            if program != Program::Rq {
                report::say(&format!("{program:?} ended by itself: {state}"));
                lock(&self.crashes).push(format!("{program:?}"));
            }
            self.start(program).await?;
        }
        Ok(())
    }

    /// Programs that ended by themselves.
    pub(crate) fn crashes(&self) -> Vec<String> {
        lock(&self.crashes).clone()
    }

    fn how(&self, program: Program) -> Start {
        let mut env = self.environment(program);
        if let Some(rule) = &self.plant {
            env.push(("MEMORA_PLANT".to_owned(), rule.clone()));
            // Moments that are too short to be met, longer.
            let slow = "before_publish=sleep250,load_between=sleep60";
            env.push(("MEMORA_FAILPOINTS".to_owned(), slow.to_owned()));
        }
        let skew = match program {
            Program::Sidecar(n) | Program::Worker(n) => skew_ms(n),
            Program::Rq => 0,
        };
        env.push(("MEMORA_CLOCK_SKEW_MS".to_owned(), skew.to_string()));
        Start {
            env,
            ..Start::default()
        }
    }

    /// Where a program finds its servers: behind proxies of its own.
    fn environment(&self, program: Program) -> Vec<(String, String)> {
        let [cache, queue, mariadb] = &self.proxies[number(program)];
        let redis = |proxy: &Proxy, db: usize| format!("redis://127.0.0.1:{}/{db}", proxy.port());
        [
            ("FRAPPE_REDIS_CACHE", redis(cache, self.site.cache.index)),
            ("FRAPPE_REDIS_QUEUE", redis(queue, self.site.queue.index)),
            ("FRAPPE_DB_PORT", mariadb.port().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn rq_worker(&self) -> Result<Option<Process>> {
        let Some(python) = &self.python else {
            return Ok(None);
        };
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let paths = [here.join("app_stand_in"), here.join("stand_in")];
        let environment = self.environment(Program::Rq);
        let queue = &environment[1].1;
        let mut command = Command::new(python);
        command
            .args(["-c", RQ_WORKER, queue])
            .arg(format!("{}:srs_write", self.site.bench_id))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("PYTHONPATH", std::env::join_paths(paths)?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SITE", &self.site.name)
            .env("SITES_PATH", &self.site.sites_path);
        let log = scratch::new_dir("rq")?.join("log");
        Process::start("RQ's worker", command, &log).map(Some)
    }
}

/// All programs.
pub(crate) fn programs() -> impl Iterator<Item = Program> {
    let sidecars = (0..SIDECARS).map(Program::Sidecar);
    let workers = (0..WORKERS).map(Program::Worker);
    sidecars.chain(workers).chain([Program::Rq])
}

fn number(program: Program) -> usize {
    match program {
        Program::Sidecar(n) => n,
        Program::Worker(n) => SIDECARS + n,
        Program::Rq => SIDECARS + WORKERS,
    }
}

fn skew_ms(n: usize) -> i64 {
    if n == 1 { SKEW_MS } else { 0 }
}

/// The Python, if a worker can run there.
fn usable(python: &Path) -> Option<std::path::PathBuf> {
    let mut command = Command::new(python);
    command.args(["-c", "import memora_srs, rq, redis"]);
    memora_tests::process::run("python", command)
        .context("looking for RQ")
        .ok()
        .map(|_| python.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
