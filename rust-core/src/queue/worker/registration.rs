//! Birth, heartbeat and death, as RQ's workers have them.

use std::sync::LazyLock;

use redis::{Pipeline, Script};

use super::{QueueWorker, State, TakenJob, expiry};
use crate::queue::{job, keys};
use crate::types::UtcMicros;
use crate::{Error, Result};

static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/hold.lua")));

/// Seconds that a worker is listed without a heartbeat: RQ's own.
const WORKER_TTL: i64 = 480;
/// Seconds that a worker is still known after its death: RQ's own.
const DEATH_TTL: i64 = 60;

impl QueueWorker {
    /// Makes the worker known.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn register(&self, now: UtcMicros) -> Result<()> {
        self.memory().state = State::Started;
        let mut pipe = redis::pipe();
        pipe.atomic().del(keys::worker(&self.name)).ignore();
        self.announce(&mut pipe, now);
        self.redis.pipeline(&pipe).await
    }

    /// Says that the worker lives and still has these jobs; at least every minute. Makes
    /// a worker known again whose registration was lost with the server's memory.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn heartbeat(&self, held: &[TakenJob], now: UtcMicros) -> Result<()> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        self.announce(&mut pipe, now);
        let (): () = self.redis.pipeline(&pipe).await?;
        for jobs in held.chunks(super::finish::CHUNK) {
            self.hold(jobs, now).await?;
        }
        Ok(())
    }

    /// Takes the worker out of RQ's lists.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away; RQ then forgets the worker by itself.
    pub async fn unregister(&self, now: UtcMicros) -> Result<()> {
        let key = keys::worker(&self.name);
        let mut pipe = redis::pipe();
        pipe.atomic().srem(keys::WORKERS, &key).ignore();
        for queue in &self.queues {
            pipe.srem(keys::workers_of(queue), &key).ignore();
        }
        pipe.hset(&key, "death", job::timestamp(now)).ignore();
        pipe.hdel(&key, "current_job").ignore();
        pipe.expire(&key, DEATH_TTL).ignore();
        pipe.del(keys::executions_of_worker(&self.name)).ignore();
        self.redis.pipeline(&pipe).await
    }

    fn announce(&self, pipe: &mut Pipeline, now: UtcMicros) {
        let key = keys::worker(&self.name);
        pipe.hset_multiple(
            &key,
            &[
                ("birth", job::timestamp(self.birth)),
                ("last_heartbeat", job::timestamp(now)),
                ("queues", self.queues.join(",")),
                ("pid", std::process::id().to_string()),
                ("hostname", hostname()),
                // What RQ writes where CLIENT LIST is refused, as to the bench's user.
                ("ip_address", "unknown".to_owned()),
                (
                    "version",
                    concat!("memora-srs ", env!("CARGO_PKG_VERSION")).to_owned(),
                ),
                ("python_version", "none".to_owned()),
                ("state", self.memory().state.as_str().to_owned()),
            ],
        )
        .ignore();
        pipe.sadd(keys::WORKERS, &key).ignore();
        for queue in &self.queues {
            pipe.sadd(keys::workers_of(queue), &key).ignore();
        }
        pipe.expire(&key, WORKER_TTL).ignore();
        pipe.expire(keys::executions_of_worker(&self.name), WORKER_TTL)
            .ignore();
    }

    /// Puts off the moment at which jobs count as abandoned.
    async fn hold(&self, jobs: &[TakenJob], now: UtcMicros) -> Result<()> {
        let mut call = HOLD.prepare_invoke();
        call.arg(now.to_score()).arg(job::timestamp(now));
        call.arg(self.runs());
        for job in jobs {
            call.key(keys::job(job.id()))
                .key(keys::started(&job.queue))
                .key(keys::executions(job.id()))
                .key(job.execution_key());
            call.arg(job.member())
                .arg(expiry(now, job.held_for()))
                .arg(job.execution.as_deref().unwrap_or_default())
                .arg(job.held_for())
                .arg(expiry(now, job.held_for() + 60))
                .arg(job.held_for() + 60);
        }
        self.redis.script(&call).await
    }

    /// Writes what the worker does, if that changed.
    pub(super) async fn set_state(&self, state: State) -> Result<()> {
        if self.memory().state == state {
            return Ok(());
        }
        let key = keys::worker(&self.name);
        let cmd = redis::Cmd::hset(&key, "state", state.as_str());
        let new: i64 = self.redis.query(&cmd).await?;
        if new > 0 {
            // The registration is gone; what was written is not to stay for good.
            let cmd = redis::Cmd::expire(&key, WORKER_TTL);
            let _: i64 = self.redis.query(&cmd).await?;
        }
        self.memory().state = state;
        Ok(())
    }
}

/// This machine's name, of the characters that a key of RQ may have.
pub(in crate::queue) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|e| Error::internal("No host name").with_source(e))
        .or_else(|e| std::env::var("HOSTNAME").map_err(|_| e))
        .unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name.replace([':', '/', ' '], "_")
    }
}
