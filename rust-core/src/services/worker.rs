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
mod benches;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use self::batch::{Ended, run_jobs};
use self::benches::{Benches, Members};
use super::{Sites, housekeeping, recovery};
use crate::queue::{Command, QueueWorker, TakenJob};
use crate::types::UtcMicros;
use crate::{Error, Result};

/// Jobs of one transaction.
const JOBS: usize = 64;
/// Where fewer than this were taken at once, the next ones are given time to come together...
const FEW: usize = JOBS / 4;
/// ... which is this: a transaction costs MariaDB more than the rows of one submit, and students
/// read what waits from the journal.
const GATHERING: Duration = Duration::from_millis(50);
/// How often the journal is looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// How often sites are looked for that were made, dropped, broken or mended.
const LOOK: Duration = Duration::from_secs(2);
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
    /// bench's prefix; empty: those that the sites' jobs go to ([`own_queues`](crate::queue::own_queues)).
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

/// Works until told to stop, or, in burst mode, until no job waits. A site that cannot be
/// opened is left out until it can.
///
/// # Errors
/// `Config` or `NotFound` if at the start a site cannot be opened that was asked for by its
/// name, or, in burst mode, none of the bench can. In burst mode `Unavailable` if a server is
/// away, so that it is not known, or not so, that no job waits.
pub async fn run(
    sites: Arc<Sites>,
    options: Options,
    mut stopping: watch::Receiver<Stopping>,
) -> Result<()> {
    let (stop, mut stopped) = watch::channel(*stopping.borrow_and_update());
    let stop = Arc::new(stop);
    let mut members = Members::first(&sites, &options).await?;
    let mut benches = Benches::new(sites.clone(), options.burst, stop.clone());
    benches.change_to(&members)?;
    benches.tell(*stopped.borrow());
    let keeper = tokio::spawn(recovery::keep(sites.clone()));
    loop {
        let ending = options.burst || *stopped.borrow_and_update() > Stopping::No;
        if ending && benches.none_runs() {
            break;
        }
        tokio::select! {
            () = benches.one_ends() => {}
            () = sleep(LOOK), if !ending => {
                members = members.again(&sites, &options).await;
            }
            Ok(()) = stopping.changed() => {
                let told = *stopping.borrow_and_update();
                stop.send_if_modified(|now| std::mem::replace(now, told.max(*now)) < told);
            }
            Ok(()) = stopped.changed() => {}
        }
        let told = *stopped.borrow_and_update();
        if told > Stopping::No {
            benches.tell(told);
        } else if !options.burst
            && let Err(error) = benches.change_to(&members)
        {
            tracing::warn!(?error, "A worker could not be started");
        }
    }
    keeper.abort();
    benches.worked()
}

/// The worker of one bench, with the sites that it works for.
struct Bench {
    sites: Arc<Sites>,
    names: Vec<String>,
    worker: QueueWorker,
    /// Ends the whole process, as RQ's shutdown command does.
    stop: Arc<watch::Sender<Stopping>>,
    /// Whether this one is to end.
    stopped: watch::Receiver<Stopping>,
    burst: bool,
}

impl Bench {
    async fn run(self) -> Result<()> {
        let worker = &self.worker;
        tracing::info!(worker = worker.name(), sites = ?self.names, "Working");
        let (sender, commands) = mpsc::channel(16);
        let beside = async {
            let house = housekeeping::run(&self.sites, &self.names, worker.name(), SWEEP);
            tokio::join!(house, worker.listen(sender));
        };
        let worked = tokio::select! {
            worked = self.work(commands) => worked,
            () = beside => Ok(()),
        };
        if let Err(error) = worker.unregister(UtcMicros::now()).await {
            tracing::warn!(?error, "The worker could not be taken off RQ's list");
        }
        tracing::info!(worker = worker.name(), "Stopped");
        worked
    }

    fn stopping(&self) -> Stopping {
        *self.stopped.borrow()
    }

    async fn work(&self, mut commands: mpsc::Receiver<Command>) -> Result<()> {
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
                Ok(jobs) if jobs.is_empty() && self.burst => return all_done(&resting),
                Ok(jobs) if jobs.is_empty() => worker.idle_delay(),
                Ok(jobs) => {
                    away = false;
                    let few = jobs.len() < FEW;
                    resting.extend(self.work_on(jobs, &mut commands).await);
                    if few && !self.burst {
                        self.pause(GATHERING, &mut commands).await;
                    }
                    continue;
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(?error, "The queue is away; working off the journal alone");
                    }
                    away = true;
                    if self.burst {
                        return Err(error);
                    }
                    self.pause(QUEUE_AWAY, &mut commands).await;
                    continue;
                }
            };
            away = false;
            self.pause(pause, &mut commands).await;
        }
        Ok(())
    }

    /// Waits, unless told something.
    async fn pause(&self, pause: Duration, commands: &mut mpsc::Receiver<Command>) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.is_stopping(Stopping::Soon) => {}
            Some(command) = commands.recv() => self.obey(&command),
        }
    }

    /// Waits until it is to end so soon.
    async fn is_stopping(&self, how: Stopping) {
        let mut stopped = self.stopped.clone();
        if stopped.wait_for(|stopping| *stopping >= how).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending().await
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
                let working = run_jobs(&self.sites, worker, &jobs, &ended);
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
        tokio::select! {
            () = sleep(HEARTBEAT) => {
                if let Err(error) = self.worker.heartbeat(jobs, UtcMicros::now()).await {
                    tracing::debug!(?error, "No heartbeat");
                }
                Told::Nothing
            }
            () = self.is_stopping(Stopping::Now) => Told::End,
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

/// Whether no job waits, but for those of sites whose database is away.
fn all_done(resting: &HashSet<String>) -> Result<()> {
    if resting.is_empty() {
        return Ok(());
    }
    let mut sites: Vec<&str> = resting.iter().map(String::as_str).collect();
    sites.sort_unstable();
    let sites = sites.join(", ");
    Err(Error::unavailable(
        format!("The database is not available: jobs of {sites} wait"),
        DATABASE_AWAY,
    ))
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
