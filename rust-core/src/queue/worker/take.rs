//! Looks through queues and takes what is ours.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use redis::Script;

use super::{IDLE_DELAY, QueueWorker, State, TakenJob, expiry, random_hex};
use crate::Result;
use crate::queue::{PersistCall, has_executions, job, keys};
use crate::types::UtcMicros;

static PEEK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/peek.lua")));
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/take.lua")));

/// Ids read from a queue at once; also jobs taken at once.
const PAGE: isize = 100;
/// Pages of a queue at each look, so that a long queue of others costs little.
const PAGES: usize = 5;
/// Bytes of a job's data at most, packed.
const MAX_DATA: usize = 1 << 20;
/// After so many seconds a job that was left alone is looked at again.
const LEFT_SECONDS: i64 = 60;
/// Seconds that a job may run if it does not say: RQ's own.
const DEFAULT_TIMEOUT: i64 = 180;
/// Seconds to keep what came of a job if it does not say: RQ's own.
const DEFAULT_RESULT_TTL: i64 = 500;
/// Seconds to keep a failed job if it does not say: RQ's own.
const DEFAULT_FAILURE_TTL: i64 = 31_536_000;

/// Fields of a job's hash that are read before it is taken.
const FIELDS: [&str; 12] = [
    "data",
    "enqueued_at",
    "timeout",
    "result_ttl",
    "failure_ttl",
    "success_callback_name",
    "failure_callback_name",
    "stopped_callback_name",
    "retries_left",
    "repeats_left",
    "dependency_id",
    "dependency_ids",
];

/// Waiting jobs of one queue that are not ours, so that nobody reads them again and again.
#[derive(Default)]
pub(super) struct Left {
    ids: HashSet<String>,
    since: UtcMicros,
    /// Where the search below the first page goes on: 0 to begin behind that page.
    deep: isize,
}

impl QueueWorker {
    /// Takes up to `max` of our jobs, oldest first; none while RQ's workers are suspended.
    ///
    /// Ours are calls of `persist_review_batch` in a format that this version knows, the old
    /// implementation's included, for one of this worker's sites. All others stay as they are.
    /// An empty queue costs one round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away. Jobs taken before that are in the
    /// registry of started jobs, where RQ finds them once their time is over.
    pub async fn take(&self, max: usize, now: UtcMicros) -> Result<Vec<TakenJob>> {
        let mut taken = Vec::new();
        let (suspended, first_pages) = self.look().await?;
        if suspended {
            self.set_state(State::Suspended).await?;
        } else {
            for (queue, first) in self.queues.iter().zip(first_pages) {
                self.take_from(queue, first, max, now, &mut taken).await?;
            }
            if taken.is_empty() {
                self.set_state(State::Idle).await?;
            }
        }
        let mut memory = self.memory();
        memory.idle_delay = if taken.is_empty() {
            (memory.idle_delay * 2).min(IDLE_DELAY.1)
        } else {
            memory.state = State::Busy;
            IDLE_DELAY.0
        };
        Ok(taken)
    }

    /// Whether workers are suspended, and the first page of each queue.
    async fn look(&self) -> Result<(bool, Vec<Vec<Vec<u8>>>)> {
        let mut pipe = redis::pipe();
        pipe.exists(keys::SUSPENDED);
        for queue in &self.queues {
            pipe.lrange(keys::queue(queue), 0, PAGE - 1);
        }
        let mut replies: Vec<redis::Value> = self.redis.pipeline(&pipe).await?;
        let suspended: bool = redis::from_redis_value(replies.remove(0)).map_err(redis_error)?;
        let pages = replies
            .into_iter()
            .map(redis::from_redis_value)
            .collect::<std::result::Result<_, _>>()
            .map_err(redis_error)?;
        Ok((suspended, pages))
    }

    /// Takes from one queue: from its first page, then from a few more pages, going on
    /// where the last look ended. What that misses because others took jobs meanwhile,
    /// the next round finds.
    async fn take_from(
        &self,
        queue: &str,
        first: Vec<Vec<u8>>,
        max: usize,
        now: UtcMicros,
        taken: &mut Vec<TakenJob>,
    ) -> Result<()> {
        if taken.len() >= max {
            return Ok(());
        }
        let mut deep = self.begin_look(queue, now).max(PAGE);
        let mut page = first;
        for look in 1..=PAGES {
            let full = page.len() as isize == PAGE;
            let before = taken.len();
            self.take_page(queue, page, max, now, taken).await?;
            // What was taken made the rest move up.
            deep -= (taken.len() - before) as isize;
            if !full {
                deep = 0;
            }
            if !full || taken.len() >= max || look == PAGES {
                break;
            }
            let cmd = redis::Cmd::lrange(keys::queue(queue), deep, deep + PAGE - 1);
            page = self.redis.query(&cmd).await?;
            deep += PAGE;
        }
        self.memory().left.entry(queue.to_owned()).or_default().deep = deep;
        Ok(())
    }

    /// Takes what is ours of one page.
    async fn take_page(
        &self,
        queue: &str,
        page: Vec<Vec<u8>>,
        max: usize,
        now: UtcMicros,
        taken: &mut Vec<TakenJob>,
    ) -> Result<()> {
        let fresh = self.not_left(queue, page);
        let mut fresh = fresh.as_slice();
        while !fresh.is_empty() && taken.len() < max {
            // As a rule all are ours: no more are read than are wanted.
            let (some, rest) = fresh.split_at(fresh.len().min(max - taken.len()));
            fresh = rest;
            let mut ours = Vec::new();
            let mut others = Vec::new();
            for (id, hash) in some.iter().zip(self.read(some).await?) {
                match hash.and_then(|hash| self.ours(queue, id, &hash, now)) {
                    Some(job) if !self.memory().resting.contains(&job.call.site) => ours.push(job),
                    _ => others.push(id.clone()),
                }
            }
            self.leave(queue, others);
            if !ours.is_empty() {
                taken.extend(self.take_ours(queue, ours, now).await?);
            }
        }
        Ok(())
    }

    /// A job, not yet taken, if it is one of ours.
    pub(super) fn ours(
        &self,
        queue: &str,
        id: &str,
        hash: &HashMap<String, Vec<u8>>,
        now: UtcMicros,
    ) -> Option<TakenJob> {
        let call = PersistCall::from_hash(id, hash)?;
        if !self.sites.contains(&call.site) || !call.is_known_format() {
            return None;
        }
        let number = |field: &str| -> Option<i64> {
            std::str::from_utf8(hash.get(field)?).ok()?.parse().ok()
        };
        // RQ means "no limit" by -1; a worker that died must still be noticed.
        let timeout = number("timeout").filter(|t| (1..=86_400).contains(t));
        Some(TakenJob {
            id: id.to_owned(),
            call,
            queue: queue.to_owned(),
            execution: has_executions(self.rq_major)
                .then(random_hex)
                .transpose()
                .ok()?,
            started_at: now,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            result_ttl: number("result_ttl").unwrap_or(DEFAULT_RESULT_TTL),
            failure_ttl: number("failure_ttl").unwrap_or(DEFAULT_FAILURE_TTL),
        })
    }

    pub(super) async fn read(
        &self,
        ids: &[String],
    ) -> Result<Vec<Option<HashMap<String, Vec<u8>>>>> {
        let mut call = PEEK.prepare_invoke();
        for id in ids {
            call.key(keys::job(id));
        }
        call.arg(MAX_DATA).arg(&FIELDS);
        let hashes: Vec<Option<Vec<Option<Vec<u8>>>>> = self.redis.script(&call).await?;
        let named = |values: Vec<Option<Vec<u8>>>| {
            FIELDS
                .iter()
                .zip(values)
                .filter_map(|(&field, value)| Some((field.to_owned(), value?)))
                .collect()
        };
        Ok(hashes.into_iter().map(|hash| hash.map(named)).collect())
    }

    async fn take_ours(
        &self,
        queue: &str,
        jobs: Vec<TakenJob>,
        now: UtcMicros,
    ) -> Result<Vec<TakenJob>> {
        let mut call = TAKE.prepare_invoke();
        call.key(keys::queue(queue))
            .key(keys::started(queue))
            .key(keys::worker(&self.name))
            .key(keys::executions_of_worker(&self.name));
        call.arg(&self.name)
            .arg(now.to_score())
            .arg(job::timestamp(now))
            .arg(self.runs());
        for job in &jobs {
            let id = job.id();
            call.key(keys::job(id))
                .key(keys::dependents(id))
                .key(keys::executions(id))
                .key(job.execution_key());
            call.arg(id)
                .arg(job.member())
                .arg(expiry(now, job.held_for()))
                .arg(job.execution.as_deref().unwrap_or_default())
                .arg(job.held_for())
                .arg(expiry(now, job.held_for() + 60))
                .arg(job.held_for() + 60);
        }
        let got: HashSet<String> = self.redis.script(&call).await?;
        Ok(jobs.into_iter().filter(|j| got.contains(j.id())).collect())
    }

    /// Begins a look at a queue: where its deep search goes on. Forgets now and then what
    /// was left alone: an id may have become another job.
    fn begin_look(&self, queue: &str, now: UtcMicros) -> isize {
        let mut memory = self.memory();
        let left = memory.left.entry(queue.to_owned()).or_default();
        if left.since.plus_seconds(LEFT_SECONDS) < now {
            left.ids.clear();
            left.since = now;
        }
        left.deep
    }

    /// The ids that nobody looked at yet. One that is no text is nobody's.
    fn not_left(&self, queue: &str, page: Vec<Vec<u8>>) -> Vec<String> {
        let mut memory = self.memory();
        let left = memory.left.entry(queue.to_owned()).or_default();
        page.into_iter()
            .filter_map(|id| String::from_utf8(id).ok())
            .filter(|id| !left.ids.contains(id))
            .collect()
    }

    fn leave(&self, queue: &str, ids: Vec<String>) {
        let mut memory = self.memory();
        let left = memory.left.entry(queue.to_owned()).or_default();
        left.ids.extend(ids);
    }
}

fn redis_error(e: impl Into<redis::RedisError>) -> crate::Error {
    crate::Error::from(e.into())
}
