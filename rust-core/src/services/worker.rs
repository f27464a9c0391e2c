//! The native worker: takes jobs off RQ's queue and applies what they point to, many in
//! one transaction, and applies journal rows that no job has brought in time.
//!
//! Several may run, beside RQ's own: a job is taken by one, and applying a row twice
//! changes nothing. With the queue away the journal alone is worked off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Site, Sites, apply, persist, question_info, recovery, report, sweep};
use crate::config::Secret;
use crate::queue::{QueueWorker, TakenJob, WorkerOptions, own_queues};
use crate::store::apply::{Held, Work};
use crate::types::UtcMicros;
use crate::{Error, ErrorKind, Result};

/// Jobs of one transaction.
const JOBS: usize = 64;
/// How often the journal is looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// How often RQ hears that the worker lives.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Pause after the queue was found away.
const QUEUE_AWAY: Duration = Duration::from_secs(1);

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sites to work for; empty: all of the bench.
    pub sites: Vec<String>,
    /// Queues to take jobs from, without the bench's prefix; empty: those that the sites'
    /// jobs go to ([`own_queues`]).
    pub queues: Vec<String>,
}

/// Works until `shutdown`, then finishes what it has taken.
///
/// # Errors
/// `Config` or `NotFound` if a site cannot be opened at the start.
pub async fn run(
    sites: Arc<Sites>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
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
    let (stop, stopped) = watch::channel(false);
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
        let names = worker_options.sites;
        loops.push(work(sites.clone(), names, worker, stopped.clone()));
    }
    let signal = async {
        shutdown.await;
        let _ = stop.send(true);
    };
    let keeper = tokio::spawn(recovery::keep(sites.clone()));
    tokio::join!(join_all(loops), signal);
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

async fn work(
    sites: Arc<Sites>,
    names: Vec<String>,
    worker: QueueWorker,
    mut stopped: watch::Receiver<bool>,
) {
    tracing::info!(worker = worker.name(), sites = ?names, "Working");
    let (mut next_sweep, mut next_heartbeat) = (Instant::now(), Instant::now());
    let mut registered = false;
    let mut away = false;
    while !*stopped.borrow() {
        if Instant::now() >= next_heartbeat {
            let now = UtcMicros::now();
            let known = if registered {
                worker.heartbeat(&[], now).await
            } else {
                worker.register(now).await
            };
            registered |= known.is_ok();
            next_heartbeat = Instant::now() + if known.is_ok() { HEARTBEAT } else { QUEUE_AWAY };
        }
        if Instant::now() >= next_sweep {
            for name in &names {
                sweep_one(&sites, name, worker.name()).await;
            }
            next_sweep = Instant::now() + SWEEP;
        }
        let pause = match worker.take(JOBS, UtcMicros::now()).await {
            Ok(jobs) if jobs.is_empty() => worker.idle_delay(),
            Ok(jobs) => {
                run_jobs(&sites, &worker, jobs).await;
                continue;
            }
            Err(error) => {
                if !away {
                    tracing::warn!(?error, "The queue is away; working off the journal alone");
                }
                away = true;
                tokio::select! {
                    () = tokio::time::sleep(QUEUE_AWAY) => {}
                    _ = stopped.changed() => {}
                }
                continue;
            }
        };
        away = false;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => {}
        }
    }
    if let Err(error) = worker.unregister(UtcMicros::now()).await {
        tracing::warn!(?error, "The worker could not be taken off RQ's list");
    }
    tracing::info!(worker = worker.name(), "Stopped");
}

/// Applies rows whose job is late or lost.
async fn sweep_one(sites: &Sites, name: &str, worker: &str) {
    let swept = async {
        let site = sites.get(name).await?;
        sweep::patrol(&site, worker).await.map(|_| ())
    };
    if let Err(error) = swept.await {
        tracing::warn!(
            site = name,
            ?error,
            "The journal could not be looked through"
        );
    }
}

async fn run_jobs(sites: &Sites, worker: &QueueWorker, jobs: Vec<TakenJob>) {
    let mut by_site: HashMap<String, Vec<TakenJob>> = HashMap::new();
    for job in jobs {
        by_site.entry(job.call.site.clone()).or_default().push(job);
    }
    for (name, jobs) in by_site {
        match sites.get(&name).await {
            Ok(site) => run_jobs_of(&site, worker, jobs).await,
            Err(error) => {
                tracing::warn!(
                    site = name,
                    ?error,
                    "The jobs of a site go back to the queue"
                );
                for job in &jobs {
                    note(worker.put_back(job).await);
                }
            }
        }
    }
}

async fn run_jobs_of(site: &Site, worker: &QueueWorker, jobs: Vec<TakenJob>) {
    let (mut readable, mut work) = (Vec::new(), Vec::new());
    let (mut done, mut new) = (Vec::new(), Vec::new());
    let mut away = false;
    for job in &jobs {
        if !job.call.is_complete() && away {
            // Each would wait as long, and meanwhile nobody would hear from this worker.
            note(worker.put_back(job).await);
            continue;
        }
        if !job.call.is_complete() {
            // Rare, and each computes from what the one before made of the table.
            match persist::run(site, &job.call, worker.name(), &mut new).await {
                Ok(persisted) => done.push((job, persisted.processed_count)),
                Err(error) => {
                    away |= error.kind() == ErrorKind::Unavailable;
                    fail(site, worker, job, &error).await;
                }
            }
            continue;
        }
        match job.call.submission() {
            Ok(submission) => {
                work.push(Work {
                    key: submission.key.clone(),
                    job_id: Some(job.id().to_owned()),
                    submission: Some(submission),
                });
                readable.push(job);
            }
            Err(error) => fail(site, worker, job, &error).await,
        }
    }
    let outcomes = apply::apply_and_tell(site, &work, worker.name(), Held::Wait, &mut new).await;
    for ((job, work), outcome) in readable.into_iter().zip(&work).zip(outcomes) {
        match outcome {
            Ok(()) => {
                let count = work.submission.as_ref().map_or(0, |s| s.batch.items.len());
                done.push((job, count as u64));
            }
            Err(error) => fail(site, worker, job, &error).await,
        }
    }
    let done: Vec<_> = done
        .into_iter()
        .map(|(job, count)| (job, json!({"success": true, "processed_count": count})))
        .collect();
    let done = done.iter().map(|(job, result)| (*job, result));
    note(worker.finish_all(done, UtcMicros::now()).await);
    question_info::ask(site, new).await;
}

async fn fail(site: &Site, worker: &QueueWorker, job: &TakenJob, error: &Error) {
    report::not_applied(site, job.id(), error).await;
    note(
        worker
            .fail(job, &format!("{error:?}"), UtcMicros::now())
            .await,
    );
}

fn note(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(?error, "RQ could not be told about a job");
    }
}
