//! The way of a submit through the queue: a job as a submit puts it there, taken and finished
//! as a worker does, in a queue of the check's own that no worker listens to.

use std::fmt;

use serde_json::json;

use super::checks::{SUBMISSION, WORKER};
use super::scratch::Scratch;
use crate::batch::SubmissionKey;
use crate::queue::{Producer, QueueWorker, WorkerOptions};
use crate::services::apply::Done;
use crate::services::{Site, persist};
use crate::store::journal;
use crate::types::{SubmissionId, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// The source of errors that are the queue's.
#[derive(Debug)]
struct Queue(Error);

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue: {}", self.0)
    }
}

impl std::error::Error for Queue {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

/// Whether an error is the queue's.
pub(super) fn is_of(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Queue>())
}

fn of_queue(error: Error) -> Error {
    let (kind, what) = (error.kind(), error.message());
    let what = match kind {
        ErrorKind::Unavailable => format!("The queue takes no jobs: {what}"),
        _ => format!("The queue: {what}"),
    };
    Error::new(kind, what).with_source(Queue(error))
}

/// Sends what was applied already through the queue once more: it has no other effect.
pub(super) async fn through(site: &Site, scratch: &Scratch) -> Result<()> {
    let submission = journal::find(&site.db, &key(scratch)?).await?;
    let submission = submission.ok_or_else(|| Error::internal("The journal has no such row"))?;
    scratch.queues();
    let producer = producer(site, scratch);
    producer.enqueue(&submission).await.map_err(of_queue)?;
    let options = WorkerOptions {
        bench_id: site.config.bench_id.clone(),
        queues: vec![scratch.queue()],
        sites: vec![site.config.site.clone()],
        rq_major: site.config.rq_major,
    };
    let worker = QueueWorker::new(site.queue_redis.clone(), &options, UtcMicros::now())?;
    let taken = worker.take(1, UtcMicros::now()).await.map_err(of_queue)?;
    let Some(job) = taken.first() else {
        let suspended = Error::internal("its job was not to be had: see rq info, and rq resume");
        return Err(of_queue(suspended));
    };
    persist::run(site, &job.call, WORKER, &mut Done::default()).await?;
    let result = json!({"success": true});
    let finished = worker.finish(job, &result, UtcMicros::now()).await;
    finished.map_err(of_queue)
}

/// Removes what is left of it.
pub(super) async fn remove(site: &Site, scratch: &Scratch) -> Result<()> {
    producer(site, scratch).remove_queue(&key(scratch)?).await
}

fn key(scratch: &Scratch) -> Result<SubmissionKey> {
    Ok(SubmissionKey {
        player: scratch.player.clone(),
        submission: SubmissionId::parse("submission_id", SUBMISSION)?,
    })
}

fn producer(site: &Site, scratch: &Scratch) -> Producer {
    let mut config = site.config.clone();
    config.srs.queue = Some(scratch.queue());
    Producer::new(site.queue_redis.clone(), &config)
}
