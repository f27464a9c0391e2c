//! The native worker: takes jobs off RQ's queue and applies what they point to, many in
//! one transaction. Beside that it sweeps the journal and purges it.
//!
//! Several may run, beside RQ's own: a job is taken by one, and applying a row twice
//! changes nothing. With the queue away the journal alone is worked off. With a site's
//! database away its jobs wait in the queue: failing them would take them to where only an
//! operator gets them out.
//!
//! While jobs are worked on, RQ hears every half minute that they are. The end comes in one
//! of three ways: what was taken is finished first (a signal, RQ's shutdown command, the
//! end of a burst); or goes back to the queue (a second signal); or the process dies, and
//! others find it ([`QueueWorker::maintain`]).

mod batch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::batch::{Ended, run_jobs};
use super::{Site, Sites, housekeeping, recovery};
use crate::Result;
use crate::config::Secret;
use crate::queue::{Command, QueueWorker, TakenJob, WorkerOptions, own_queues};
use crate::types::UtcMicros;

/// Jobs of one transaction.
const JOBS: usize = 64;
/// How often the journal is looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// How often RQ hears that the worker lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How often the queues are looked after.
const MAINTENANCE: Duration = Duration::from_secs(30);
/// Pause after the queue was found away.
const QUEUE_AWAY: Duration = Duration::from_secs(1);
/// How often a database that is away is asked for.
const DATABASE_AWAY: Duration = Duration::from_secs(1);
/// How long jobs may take to go back to the queue when the process is to end at once.
const PUT_BACK: Duration = Duration::from_secs(2);

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sites to work for; empty: all of the bench.
    pub sites: Vec<String>,
    /// Queues to take jobs from, those of the first before those of the second, without the
    /// bench's prefix; empty: those that the sites' jobs go to ([`own_queues`]).
    pub queues: Vec<String>,
    /// End once no job waits.
    pub burst: bool,
}

/// Whether a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopping {
    /// No.
    No,
    /// When what it has taken is done.
    Soon,
    /// At once: what it has taken goes back to the queue.
    Now,
}

/// Works until told to stop, or, in burst mode, until no job waits.
///
/// # Errors
/// `Config` or `NotFound` if a site cannot be opened at the start.
pub async fn run(
    sites: Arc<Sites>,
    options: Options,
    mut stopping: watch::Receiver<Stopping>,
) -> Result<()> {
    let names = if options.sites.is_empty() {
        sites.names()?
    } else {
        options.sites.clone()
    };
    // Sites of one bench share one queue Redis as a rule, but need not.
    let mut benches: HashMap<(Secret, String, u32), Vec<Arc<Site>>> = HashMap::new();
    for name in &names {
        let site = sites.get(name).await?;
        let config = &site.config;
        let bench = (
            config.redis_queue.clone(),
            config.bench_id.clone(),
            config.rq_major,
        );
        benches.entry(bench).or_default().push(site);
    }
    let (stop, stopped) = watch::channel(*stopping.borrow_and_update());
    let mut loops = Vec::new();
    for ((_, bench_id, rq_major), group) in benches {
        let worker_options = WorkerOptions {
            bench_id,
            queues: queues(&options, &group),
            sites: group.iter().map(|site| site.config.site.clone()).collect(),
            rq_major,
        };
        let redis = group[0].queue_redis.clone();
        let worker = QueueWorker::new(redis, &worker_options, UtcMicros::now())?;
        let bench = Bench {
            sites: &sites,
            names: worker_options.sites,
            worker,
            stop: &stop,
            stopped: stopped.clone(),
            burst: options.burst,
        };
        loops.push(bench.run());
    }
    let signals = async {
        while stopping.changed().await.is_ok() {
            let told = *stopping.borrow_and_update();
            stop.send_if_modified(|now| std::mem::replace(now, told.max(*now)) < told);
        }
        std::future::pending::<()>().await;
    };
    let keeper = tokio::spawn(recovery::keep(sites.clone()));
    tokio::select! {
        _ = join_all(loops) => {}
        () = signals => {}
    }
    keeper.abort();
    Ok(())
}

/// The queues of a bench to listen to: as told, else where the jobs of `sites` go.
fn queues(options: &Options, sites: &[Arc<Site>]) -> Vec<String> {
    let mut queues = options.queues.clone();
    if queues.is_empty() {
        for queue in sites.iter().flat_map(|site| own_queues(&site.config)) {
            if !queues.iter().any(|known| known == queue) {
                queues.push(queue.to_owned());
            }
        }
    }
    queues
}

/// The worker of one bench, with the sites that it works for.
struct Bench<'a> {
    sites: &'a Sites,
    names: Vec<String>,
    worker: QueueWorker,
    /// Ends the whole process, as RQ's shutdown command does.
    stop: &'a watch::Sender<Stopping>,
    stopped: watch::Receiver<Stopping>,
    burst: bool,
}

impl Bench<'_> {
    async fn run(self) {
        let worker = &self.worker;
        tracing::info!(worker = worker.name(), sites = ?self.names, "Working");
        let (sender, commands) = mpsc::channel(16);
        let beside = async {
            let house = housekeeping::run(self.sites, &self.names, worker.name(), SWEEP);
            tokio::join!(house, worker.listen(sender));
        };
        tokio::select! {
            () = self.work(commands) => {}
            () = beside => {}
        }
        if let Err(error) = worker.unregister(UtcMicros::now()).await {
            tracing::warn!(?error, "The worker could not be taken off RQ's list");
        }
        tracing::info!(worker = worker.name(), "Stopped");
    }

    fn stopping(&self) -> Stopping {
        *self.stopped.borrow()
    }

    async fn work(&self, mut commands: mpsc::Receiver<Command>) {
        let worker = &self.worker;
        let mut next_heartbeat = Instant::now();
        let mut next_maintenance = Instant::now();
        let mut next_probe = Instant::now();
        let mut resting: HashSet<String> = HashSet::new();
        let (mut registered, mut away) = (false, false);
        while self.stopping() == Stopping::No {
            if Instant::now() >= next_heartbeat {
                let now = UtcMicros::now();
                let known = if registered {
                    worker.heartbeat(&[], now).await
                } else {
                    worker.register(now).await
                };
                registered |= known.is_ok();
                let pause = if known.is_ok() { HEARTBEAT } else { QUEUE_AWAY };
                next_heartbeat = Instant::now() + pause;
            }
            if registered && Instant::now() >= next_maintenance {
                self.maintain().await;
                next_maintenance = Instant::now() + MAINTENANCE;
            }
            if !resting.is_empty() && Instant::now() >= next_probe {
                self.wake(&mut resting).await;
                next_probe = Instant::now() + DATABASE_AWAY;
            }
            let pause = match worker.take(JOBS, UtcMicros::now()).await {
                Ok(jobs) if jobs.is_empty() && self.burst => return,
                Ok(jobs) if jobs.is_empty() => worker.idle_delay(),
                Ok(jobs) => {
                    away = false;
                    resting.extend(self.work_on(jobs, &mut commands).await);
                    continue;
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(?error, "The queue is away; working off the journal alone");
                    }
                    away = true;
                    if self.burst {
                        return;
                    }
                    self.pause(QUEUE_AWAY, &mut commands).await;
                    continue;
                }
            };
            away = false;
            self.pause(pause, &mut commands).await;
        }
    }

    /// Waits, unless told something.
    async fn pause(&self, pause: Duration, commands: &mut mpsc::Receiver<Command>) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.wait_for(|stopping| *stopping != Stopping::No) => {}
            Some(command) = commands.recv() => self.obey(&command),
        }
    }

    /// Does what needs no job; a job that we do not have cannot be stopped.
    fn obey(&self, command: &Command) {
        if *command == Command::Shutdown {
            self.stop.send_if_modified(|now| {
                std::mem::replace(now, Stopping::Soon.max(*now)) == Stopping::No
            });
        }
    }

    async fn maintain(&self) {
        match self.worker.maintain(UtcMicros::now()).await {
            Ok(kept) if kept.abandoned + kept.restored > 0 => tracing::warn!(
                abandoned = kept.abandoned,
                restored = kept.restored,
                "Jobs of workers that died"
            ),
            Ok(_) => {}
            Err(error) => tracing::debug!(?error, "The queues could not be looked after"),
        }
    }

    /// Takes the jobs of sites again whose database is back.
    async fn wake(&self, resting: &mut HashSet<String>) {
        for name in resting.clone() {
            let back = async {
                let site = self.sites.get(&name).await?;
                site.db.conn().await.map(|_| ())
            };
            if back.await.is_ok() {
                tracing::info!(site = name, "The database is back");
                self.worker.wake(&name);
                resting.remove(&name);
            }
        }
    }

    /// Works on jobs to their end, whatever that is; sites whose database is away.
    async fn work_on(
        &self,
        mut jobs: Vec<TakenJob>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Vec<String> {
        let worker = &self.worker;
        let mut away = Vec::new();
        while !jobs.is_empty() {
            let ended = Ended::default();
            let told = {
                let working = run_jobs(self.sites, worker, &jobs, &ended);
                tokio::pin!(working);
                loop {
                    tokio::select! {
                        sites = &mut working => {
                            away.extend(sites);
                            break Told::Nothing;
                        }
                        told = self.told(&jobs, commands) => match told {
                            Told::Nothing => {}
                            told => break told,
                        },
                    }
                }
            };
            jobs.retain(|job| !ended.has(job));
            match told {
                // What is left has gone back to the queue.
                Told::Nothing => break,
                Told::StopJob(id) => {
                    // What is half done is rolled back, and done again without it.
                    if let Some(at) = jobs.iter().position(|job| job.id() == id) {
                        let job = jobs.remove(at);
                        batch::note(worker.stop(&job, UtcMicros::now()).await);
                    }
                }
                Told::End => {
                    let back = batch::put_back(worker, &jobs, &ended);
                    if tokio::time::timeout(PUT_BACK, back).await.is_err() {
                        tracing::warn!("Jobs could not go back to the queue");
                    }
                    break;
                }
            }
        }
        away
    }

    /// What interrupts the work on jobs; says now and then that they are worked on.
    async fn told(&self, jobs: &[TakenJob], commands: &mut mpsc::Receiver<Command>) -> Told {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {
                if let Err(error) = self.worker.heartbeat(jobs, UtcMicros::now()).await {
                    tracing::debug!(?error, "No heartbeat");
                }
                Told::Nothing
            }
            ended = stopped.wait_for(|stopping| *stopping == Stopping::Now) => match ended {
                Ok(_) => Told::End,
                Err(_) => std::future::pending().await,
            },
            Some(command) = commands.recv() => match command {
                Command::StopJob(id) if jobs.iter().any(|job| job.id() == id) => Told::StopJob(id),
                command => {
                    self.obey(&command);
                    Told::Nothing
                }
            },
        }
    }
}

/// What a worker hears while it works.
enum Told {
    /// Go on.
    Nothing,
    /// Stop this job.
    StopJob(String),
    /// End at once.
    End,
}
