//! A worker that speaks RQ's protocol.
//!
//! It registers, takes jobs, and finishes them as RQ's own worker does, so that RQ's
//! tools and Frappe's lists show it and its jobs. Unlike RQ's it takes many jobs at once,
//! and only those whose function it knows, of sites that are its own: every other job
//! stays in the queue, untouched, for the workers in Python.
//!
//! | file | job |
//! |---|---|
//! | `registration` | birth, heartbeat, death |
//! | `take` | looks through a queue and takes what is ours |
//! | `finish` | finished, failed, stopped, put back |
//! | `commands` | what operators tell a running worker |
//! | `maintenance` | jobs of workers that died |
//!
//! # Rules
//!
//! - A job is taken by removing its id from the queue: of many workers one removes it,
//!   in the same step in which the job joins the registry of started jobs.
//! - A job that was taken is in that registry until it is finished, failed or put back,
//!   for 90 seconds after the last heartbeat, as RQ's workers have it. If we die, the
//!   housekeeping of RQ's workers, or of another of ours, finds it there and fails it.
//! - Nothing here applies anything: the caller does, and then says what came of it.

mod commands;
mod finish;
mod maintenance;
mod registration;
mod take;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use registration::hostname;

pub use commands::Command;
pub use maintenance::Kept;

use super::{PersistCall, has_executions, keys, lists_executions_of_workers};
use crate::servers::redis::RedisLink;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// Shortest and longest pause between two looks at an empty queue.
const IDLE_DELAY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The prefix of RQ queue names.
    pub bench_id: String,
    /// Queues to look through, in order, without the prefix: `["srs_write"]`.
    pub queues: Vec<String>,
    /// Sites whose jobs it takes.
    pub sites: Vec<String>,
    /// Major version of the installed RQ, which decides what started jobs look like.
    pub rq_major: u32,
}

/// What a worker does, in RQ's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Registered, nothing done yet.
    Started,
    /// Nothing to do.
    Idle,
    /// Has jobs.
    Busy,
    /// Held by `rq suspend`.
    Suspended,
}

impl State {
    /// As RQ writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Suspended => "suspended",
        }
    }
}

/// A job that this worker has taken and must finish, fail or put back.
#[derive(Debug, Clone)]
pub struct TakenJob {
    id: String,
    /// What it asks for.
    pub call: PersistCall,
    /// RQ's name of the queue that it came from.
    queue: String,
    /// RQ 2's id of this run.
    execution: Option<String>,
    started_at: UtcMicros,
    /// Seconds that it may run.
    timeout: i64,
    /// Seconds to keep what came of it; negative: for good.
    result_ttl: i64,
    /// Seconds to keep it if it fails; negative: for good.
    failure_ttl: i64,
}

impl TakenJob {
    /// RQ's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seconds until it counts as abandoned unless a heartbeat comes: as RQ has it, which
    /// gives one every half minute and allows for a late one.
    fn held_for(&self) -> i64 {
        self.timeout.min(30) + 60
    }

    /// Its member of the registry of started jobs: RQ 2 registers runs, not jobs.
    fn member(&self) -> String {
        match &self.execution {
            Some(execution) => format!("{}:{execution}", self.id()),
            None => self.id().to_owned(),
        }
    }

    /// The key of this run. Without runs (RQ 1) it names nothing and is not touched.
    fn execution_key(&self) -> String {
        keys::execution(self.id(), self.execution.as_deref().unwrap_or_default())
    }
}

/// See the module's documentation.
pub struct QueueWorker {
    redis: Arc<RedisLink>,
    name: String,
    /// RQ's names, with the bench's id.
    queues: Vec<String>,
    sites: HashSet<String>,
    rq_major: u32,
    birth: UtcMicros,
    memory: Mutex<Memory>,
}

/// What a worker remembers between two looks at its queues.
struct Memory {
    state: State,
    idle_delay: Duration,
    /// By queue.
    left: HashMap<String, take::Left>,
    /// Sites whose jobs are left alone for now.
    resting: HashSet<String>,
}

impl QueueWorker {
    /// A worker with a name of its own; does nothing yet.
    ///
    /// # Errors
    /// `Internal` if the operating system gives no random bytes.
    pub fn new(redis: Arc<RedisLink>, options: &WorkerOptions, now: UtcMicros) -> Result<Self> {
        let name = format!(
            "memora-srs.{}.{}.{}",
            registration::hostname(),
            std::process::id(),
            &random_hex()?[..12],
        );
        let queues = options.queues.iter();
        Ok(Self {
            redis,
            name,
            queues: queues
                .map(|queue| keys::queue_name(&options.bench_id, queue))
                .collect(),
            sites: options.sites.iter().cloned().collect(),
            rq_major: options.rq_major,
            birth: now,
            memory: Mutex::new(Memory {
                state: State::Started,
                idle_delay: IDLE_DELAY.0,
                left: HashMap::new(),
                resting: HashSet::new(),
            }),
        })
    }

    /// Its name among RQ's workers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long to wait before the next [`QueueWorker::take`] after one that found
    /// nothing: grows from 5 to 250 ms while nothing comes.
    pub fn idle_delay(&self) -> Duration {
        self.memory().idle_delay
    }

    /// Leaves the jobs of a site alone until [`QueueWorker::wake`]: they would only come
    /// back.
    pub fn rest(&self, site: &str) {
        self.memory().resting.insert(site.to_owned());
    }

    /// Takes the jobs of a site again.
    pub fn wake(&self, site: &str) {
        let mut memory = self.memory();
        if memory.resting.remove(site) {
            // Its jobs are among those that were left.
            memory.left.clear();
        }
    }

    /// Tells scripts which runs are kept: "1" none, "2" those of jobs, "3" those of workers
    /// too.
    fn runs(&self) -> &'static str {
        if lists_executions_of_workers(self.rq_major) {
            "3"
        } else if has_executions(self.rq_major) {
            "2"
        } else {
            "1"
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 32 hex digits that nobody else has.
fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal("No random bytes").with_source(e))?;
    Ok(hex::encode(bytes))
}

/// As RQ scores its registries: whole seconds, so many from now; negative: for good.
fn expiry(now: UtcMicros, seconds: i64) -> String {
    if seconds < 0 {
        "+inf".to_owned()
    } else {
        now.0
            .div_euclid(1_000_000)
            .saturating_add(seconds)
            .to_string()
    }
}
