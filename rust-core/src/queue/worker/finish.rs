//! Says what came of jobs: finished, failed, put back.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use redis::Script;
use serde_json::Value;

use super::{QueueWorker, TakenJob, expiry};
use crate::queue::{job, keys};
use crate::types::UtcMicros;
use crate::{Error, Result, pickle};

static FINISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/finish.lua")));
static FAIL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/fail.lua")));
static PUT_BACK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/put_back.lua")));

/// Jobs in one call of a script: it blocks Redis for well under a millisecond.
pub(super) const CHUNK: usize = 50;
/// Failed jobs kept in a queue, as Frappe keeps them.
const FAILED_KEPT: usize = 1000;
/// Bytes of an error text at most.
const MAX_ERROR_TEXT: usize = 16 * 1024;

impl QueueWorker {
    /// Finishes a job with what it returns, as RQ's own worker would.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away. What the job did stands all the same;
    /// RQ then finds the job abandoned, and a second run has no effect.
    pub async fn finish(&self, job: &TakenJob, result: &Value, now: UtcMicros) -> Result<()> {
        self.finish_all([(job, result)], now).await
    }

    /// Finishes many jobs, in few round trips.
    ///
    /// # Errors
    /// As [`QueueWorker::finish`]; some may be finished then.
    pub async fn finish_all<'a>(
        &self,
        jobs: impl IntoIterator<Item = (&'a TakenJob, &'a Value)>,
        now: UtcMicros,
    ) -> Result<()> {
        let jobs: Vec<_> = jobs.into_iter().collect();
        for jobs in jobs.chunks(CHUNK) {
            self.finish_chunk(jobs, now).await?;
        }
        Ok(())
    }

    async fn finish_chunk(&self, jobs: &[(&TakenJob, &Value)], now: UtcMicros) -> Result<()> {
        let mut call = FINISH.prepare_invoke();
        call.key(keys::worker(&self.name))
            .key(keys::executions_of_worker(&self.name));
        // Jobs done together share the time that it took.
        let worked = jobs.iter().map(|(job, _)| job.started_at).min();
        call.arg(&self.name)
            .arg(job::timestamp(now))
            .arg(self.runs())
            .arg(seconds(worked.unwrap_or(now), now));
        for (job, result) in jobs {
            let id = job.id();
            call.key(keys::job(id))
                .key(keys::results(id))
                .key(keys::started(&job.queue))
                .key(keys::finished(&job.queue))
                .key(keys::failed(&job.queue))
                .key(keys::executions(id))
                .key(job.execution_key());
            let mut pickled = Vec::new();
            pickle::write(&mut pickled, result)
                .map_err(|e| Error::internal("A job's result cannot be written").with_source(e))?;
            call.arg(id)
                .arg(job.member())
                .arg(job.execution.as_deref().unwrap_or_default())
                .arg(job.result_ttl)
                .arg(expiry(now, job.result_ttl))
                .arg(BASE64.encode(&pickled));
        }
        let _: i64 = self.redis.script(&call).await?;
        Ok(())
    }

    /// Fails a job. `error` is what an operator reads in Frappe's job list, where Python
    /// has its traceback; it is cut at 16 KiB.
    ///
    /// # Errors
    /// As [`QueueWorker::finish`].
    pub async fn fail(&self, job: &TakenJob, error: &str, now: UtcMicros) -> Result<()> {
        self.end(job, "failed", error, now).await
    }

    /// Ends a job that an operator stopped: among the failed ones, as RQ has it.
    ///
    /// # Errors
    /// As [`QueueWorker::finish`].
    pub async fn stop(&self, job: &TakenJob, now: UtcMicros) -> Result<()> {
        let text = "Job stopped by user, work-horse terminated.";
        self.end(job, "stopped", text, now).await
    }

    async fn end(&self, job: &TakenJob, status: &str, error: &str, now: UtcMicros) -> Result<()> {
        let mut end = error.len().min(MAX_ERROR_TEXT);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        let id = job.id();
        let mut call = FAIL.prepare_invoke();
        call.key(keys::worker(&self.name))
            .key(keys::job(id))
            .key(keys::results(id))
            .key(keys::started(&job.queue))
            .key(keys::failed(&job.queue))
            .key(keys::executions(id))
            .key(job.execution_key())
            .key(keys::executions_of_worker(&self.name));
        call.arg(&self.name)
            .arg(job::timestamp(now))
            .arg(self.runs())
            .arg(seconds(job.started_at, now))
            .arg(id)
            .arg(job.member())
            .arg(job.execution.as_deref().unwrap_or_default())
            .arg(job.failure_ttl)
            .arg(expiry(now, job.failure_ttl))
            .arg(BASE64.encode(job::compress(&error.as_bytes()[..end])?))
            .arg(FAILED_KEPT)
            .arg(status);
        let _: i64 = self.redis.script(&call).await?;
        Ok(())
    }

    /// Puts a job back to the head of its queue, for whoever comes next.
    ///
    /// # Errors
    /// As [`QueueWorker::finish`].
    pub async fn put_back(&self, job: &TakenJob) -> Result<()> {
        let id = job.id();
        let mut call = PUT_BACK.prepare_invoke();
        call.key(keys::worker(&self.name))
            .key(keys::job(id))
            .key(keys::queue(&job.queue))
            .key(keys::started(&job.queue))
            .key(keys::executions(id))
            .key(job.execution_key())
            .key(keys::executions_of_worker(&self.name));
        call.arg(id)
            .arg(job.member())
            .arg(job.execution.as_deref().unwrap_or_default());
        let _: i64 = self.redis.script(&call).await?;
        Ok(())
    }
}

/// Seconds from one moment to another, never negative.
fn seconds(from: UtcMicros, to: UtcMicros) -> String {
    let micros = (to.0 - from.0).max(0);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
