//! The jobs that were taken together: applied in one transaction for each site, and each
//! with an end of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::queue::{QueueWorker, TakenJob};
use crate::services::apply::{self, Done};
use crate::services::{Site, Sites, persist, question_info, report};
use crate::store::apply::{Held, Work};
use crate::types::UtcMicros;
use crate::{Error, ErrorKind, Result};

/// Jobs that came to an end, for whoever has to stop half-way.
#[derive(Default)]
pub(super) struct Ended(Mutex<HashSet<String>>);

impl Ended {
    pub(super) fn has(&self, job: &TakenJob) -> bool {
        self.ids().contains(job.id())
    }

    fn add(&self, job: &TakenJob) {
        self.ids().insert(job.id().to_owned());
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on jobs; names the sites whose database is away. Jobs of those go back to the queue.
pub(super) async fn run_jobs(
    sites: &Sites,
    worker: &QueueWorker,
    jobs: &[TakenJob],
    ended: &Ended,
) -> Vec<String> {
    let mut by_site: HashMap<&str, Vec<&TakenJob>> = HashMap::new();
    for job in jobs {
        by_site.entry(&job.call.site).or_default().push(job);
    }
    let mut away = Vec::new();
    for (name, jobs) in by_site {
        let left = match sites.get(name).await {
            Ok(site) => run_jobs_of(&site, worker, jobs, ended).await,
            Err(error) => {
                tracing::warn!(site = name, ?error, "The jobs of a site cannot be run now");
                jobs
            }
        };
        if !left.is_empty() {
            tracing::warn!(site = name, jobs = left.len(), "Jobs go back to the queue");
            worker.rest(name);
            away.push(name.to_owned());
            put_back(worker, left, ended).await;
        }
    }
    away
}

/// What came of one job.
enum Outcome {
    /// So many answers are applied.
    Done(u64),
    /// It cannot be.
    Failed(Error),
    /// The database is away.
    Later,
}

/// Works on the jobs of one site; those that are to be tried later.
async fn run_jobs_of<'j>(
    site: &Site,
    worker: &QueueWorker,
    jobs: Vec<&'j TakenJob>,
    ended: &Ended,
) -> Vec<&'j TakenJob> {
    let all = jobs.clone();
    let (mut work, mut readable) = (Vec::new(), Vec::new());
    let (mut outcomes, mut applying) = (Vec::new(), Done::default());
    let mut away = false;
    for job in jobs {
        if away {
            // Each would wait as long, and meanwhile nobody would hear from this worker.
            outcomes.push((job, Outcome::Later));
            continue;
        }
        if !job.call.is_complete() {
            // Rare, and each computes from what the one before made of the table.
            let persisted = persist::run(site, &job.call, worker.name(), &mut applying).await;
            let outcome = outcome(site, persisted.map(|done| done.processed_count)).await;
            away |= matches!(outcome, Outcome::Later);
            outcomes.push((job, outcome));
            continue;
        }
        let submission = match persist::refuse_stale(site, &job.call).await {
            Ok(()) => job.call.submission(),
            Err(error) => Err(error),
        };
        match submission {
            Ok(submission) => {
                work.push(Work {
                    key: submission.key.clone(),
                    job_id: Some(job.id().to_owned()),
                    submission: Some(submission),
                });
                readable.push(job);
            }
            Err(error) => {
                let outcome = outcome(site, Err(error)).await;
                away |= matches!(outcome, Outcome::Later);
                outcomes.push((job, outcome));
            }
        }
    }
    if !work.is_empty() {
        let name = worker.name();
        let applied = apply::apply_and_tell(site, &work, name, Held::Wait, &mut applying).await;
        for ((job, work), applied) in readable.into_iter().zip(&work).zip(applied) {
            let count = work.submission.as_ref().map_or(0, |s| s.batch.items.len());
            let outcome = outcome(site, applied.map(|()| count as u64)).await;
            outcomes.push((job, outcome));
        }
    }
    let mut done = Vec::new();
    let mut later = HashSet::new();
    for (job, outcome) in outcomes {
        match outcome {
            Outcome::Done(count) => {
                done.push((job, json!({"success": true, "processed_count": count})));
            }
            Outcome::Failed(error) => {
                report::not_applied(site, job.id(), &error).await;
                let text = format!("{error:?}");
                note(worker.fail(job, &text, UtcMicros::now()).await);
                ended.add(job);
            }
            Outcome::Later => {
                later.insert(job.id());
            }
        }
    }
    let finished = done.iter().map(|(job, result)| (*job, result));
    note(worker.finish_all(finished, UtcMicros::now()).await);
    for (job, _) in &done {
        ended.add(job);
    }
    question_info::ask(site, applying.new).await;
    all.into_iter()
        .filter(|job| later.contains(job.id()))
        .collect()
}

async fn outcome(site: &Site, result: Result<u64>) -> Outcome {
    match result {
        Ok(count) => Outcome::Done(count),
        Err(error) if error.kind() == ErrorKind::Unavailable && site.db.conn().await.is_err() => {
            Outcome::Later
        }
        Err(error) => Outcome::Failed(error),
    }
}

/// Puts jobs back to the head of their queue, in their order.
pub(super) async fn put_back<'j>(
    worker: &QueueWorker,
    jobs: impl IntoIterator<Item = &'j TakenJob, IntoIter: DoubleEndedIterator>,
    ended: &Ended,
) {
    for job in jobs.into_iter().rev() {
        note(worker.put_back(job).await);
        ended.add(job);
    }
}

pub(super) fn note(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(?error, "RQ could not be told about a job");
    }
}
