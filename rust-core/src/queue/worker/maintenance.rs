//! Housekeeping, as RQ's workers do it every now and then for the queues that they listen
//! to: jobs of workers that died, and workers that died.
//!
//! RQ's own lock is not taken: who holds it does all of it, callbacks in Python included,
//! and we cannot. So we keep a lock of our own, see to our own jobs and leave the others.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use redis::{Cmd, Script};

use super::{QueueWorker, TakenJob, expiry};
use crate::Result;
use crate::queue::{has_executions, job, keys};
use crate::types::UtcMicros;

static ABANDON: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/abandon.lua")));
static RESTORE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/restore.lua")));

/// Seconds for which a queue is looked after once somebody did so.
const EVERY: u64 = 60;
/// Jobs of a registry that are looked at each time.
const JOBS: isize = 100;

/// What housekeeping changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Jobs whose worker had died: failed now, as RQ has it.
    pub abandoned: u64,
    /// Jobs that were taken and never begun: waiting again.
    pub restored: u64,
}

impl QueueWorker {
    /// Looks after the queues of this worker, each at most once a minute, whichever native
    /// worker does it.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn maintain(&self, now: UtcMicros) -> Result<Kept> {
        let mut kept = Kept::default();
        for queue in &self.queues {
            let lock = Cmd::new()
                .arg("SET")
                .arg(keys::maintenance(queue))
                .arg(&self.name)
                .arg("NX")
                .arg("EX")
                .arg(EVERY)
                .to_owned();
            let locked: Option<String> = self.redis.query(&lock).await?;
            if locked.is_none() {
                continue;
            }
            kept.abandoned += self.give_up_abandoned(queue, now).await?;
            kept.restored += self.restore_unbegun(queue, now).await?;
            self.forget_dead_workers(queue).await?;
        }
        Ok(kept)
    }

    async fn give_up_abandoned(&self, queue: &str, now: UtcMicros) -> Result<u64> {
        let started = keys::started(queue);
        let over = Cmd::zrangebyscore_limit(&started, 0, expiry(now, 0), 0, JOBS);
        let members: Vec<Vec<u8>> = self.redis.query(&over).await?;
        let members: Vec<String> = members
            .into_iter()
            .filter_map(|member| String::from_utf8(member).ok())
            .collect();
        let split = |member: &str| match member.rsplit_once(':') {
            Some((id, run)) if has_executions(self.rq_major) => (id.to_owned(), run.to_owned()),
            _ => (member.to_owned(), String::new()),
        };
        let ids: Vec<_> = members.iter().map(|member| split(member)).collect();
        let jobs = self.ours_of(queue, ids.iter().map(|(id, _)| id.clone()), now);
        let jobs = jobs.await?;
        let text = format!(
            "Moved to FailedJobRegistry, due to AbandonedJobError, at {}",
            job::timestamp(now)
        );
        let text = BASE64.encode(job::compress(text.as_bytes())?);
        let mut abandoned = 0;
        for ((member, (id, run)), job) in members.iter().zip(&ids).zip(jobs) {
            let ttl = job.as_ref().map_or(-1, |job| job.failure_ttl);
            let mut call = ABANDON.prepare_invoke();
            call.key(&started)
                .key(keys::job(id))
                .key(keys::results(id))
                .key(keys::failed(queue))
                .key(keys::executions(id))
                .key(keys::execution(id, run));
            call.arg(expiry(now, 0))
                .arg(job::timestamp(now))
                .arg(self.runs())
                .arg(id)
                .arg(member)
                .arg(run)
                .arg(if job.is_some() { "ours" } else { "" })
                .arg(ttl)
                .arg(expiry(now, ttl))
                .arg(&text);
            abandoned += self.redis.script::<u64>(&call).await?;
        }
        Ok(abandoned)
    }

    async fn restore_unbegun(&self, queue: &str, now: UtcMicros) -> Result<u64> {
        let list = keys::intermediate(queue);
        let ids: Vec<Vec<u8>> = self.redis.query(&Cmd::lrange(&list, 0, JOBS - 1)).await?;
        let ids: Vec<String> = ids
            .into_iter()
            .filter_map(|id| String::from_utf8(id).ok())
            .collect();
        let jobs = self.ours_of(queue, ids.iter().cloned(), now).await?;
        let mut restored = 0;
        for (id, job) in ids.iter().zip(jobs) {
            let mut call = RESTORE.prepare_invoke();
            call.key(&list)
                .key(keys::job(id))
                .key(keys::queue(queue))
                .key(keys::first_seen(queue, id));
            call.arg(id)
                .arg(now.to_score())
                .arg(if job.is_some() { "ours" } else { "" });
            restored += self.redis.script::<u64>(&call).await?;
        }
        Ok(restored)
    }

    /// For each id the job, if it is one of ours.
    async fn ours_of(
        &self,
        queue: &str,
        ids: impl Iterator<Item = String>,
        now: UtcMicros,
    ) -> Result<Vec<Option<TakenJob>>> {
        let ids: Vec<String> = ids.collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let hashes = self.read(&ids).await?;
        let jobs = ids.iter().zip(hashes);
        Ok(jobs
            .map(|(id, hash)| self.ours(queue, id, &hash?, now))
            .collect())
    }

    /// Takes workers off the queue's list whose registration is over.
    async fn forget_dead_workers(&self, queue: &str) -> Result<()> {
        let list = keys::workers_of(queue);
        let workers: Vec<String> = self.redis.query(&Cmd::smembers(&list)).await?;
        if workers.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for worker in &workers {
            pipe.exists(worker);
        }
        let alive: Vec<bool> = self.redis.pipeline(&pipe).await?;
        let mut pipe = redis::pipe();
        for (worker, _) in workers.iter().zip(alive).filter(|(_, alive)| !alive) {
            pipe.srem(&list, worker).ignore();
            pipe.srem(keys::WORKERS, worker).ignore();
        }
        if pipe.is_empty() {
            return Ok(());
        }
        self.redis.pipeline(&pipe).await
    }
}
