//! RQ's wire format: producer and worker protocol.
//!
//! A submit hands its batch to a worker through Frappe's own queue, [RQ] on the bench's
//! queue Redis, so that an operator sees it where all background jobs are seen, and so
//! that Python's workers can run our jobs and we can run theirs.
//!
//! | file | job |
//! |---|---|
//! | `keys` | names of the keys, RQ's and ours |
//! | `job_id` | the id of a submission's job, and of its token |
//! | `job` | a job's hash as RQ writes it |
//! | `call` | what a job found in the queue asks for |
//! | `producer` | enqueue, at most once a submission; ask Python about new questions; have it tell administrators |
//! | `long` | long work of the app's Python, on Frappe's queue for it |
//! | `outage` | which host tells administrators that the cache is away |
//! | `limits` | how much may be read while the cache is away, for all hosts |
//! | `dirty` | students whose schedule in the cache may lack something |
//! | `unjournaled` | keeps what the journal does not have yet, for all who read |
//! | `listeners` | which workers listen to the queue that our jobs go to |
//! | `outcome` | what RQ knows of a job |
//! | `sidecars` | which sidecars a bench has |
//! | `untold` | failures that wait for the Error Log |
//! | `worker` | registers, takes jobs, finishes them as RQ would |
//! | `scripts/` | everything that must happen in one step |
//!
//! # Rules
//!
//! - Redis 6.0 suffices, and so does Frappe's ACL user: keys `rq:[^q]*`, `rq:queues` and
//!   `rq:queue:<bench id>:*`; own keys start with `rq:memora:`. No CONFIG, no PUBLISH.
//! - No number passes through Lua's `tostring`, which would round it: scripts pass on
//!   the strings that they were given.
//! - A job is a pointer. Whoever runs it decides with the journal whether it still has
//!   an effect, so that a job that comes twice, or late, is harmless.
//! - What cannot be read is not ours: it stays where it is, for the workers in Python.
//!
//! [RQ]: https://python-rq.org

mod call;
mod dirty;
mod job;
mod job_id;
mod keys;
mod limits;
mod listeners;
mod long;
mod outage;
mod outcome;
mod producer;
mod sidecars;
mod unjournaled;
pub mod untold;
mod worker;

pub use call::{JobOptions, PersistCall};
pub use dirty::{DirtyList, Listed, Mark, Whose};
pub use job::{
    DISCREPANCIES_METHOD, EXECUTE_JOB, FILL_INFO_METHOD, NOTICE_METHOD, PERSIST_METHOD, encode_data,
};
pub use job_id::{hash_of_job, persistence_job_id};
pub use limits::{HostLimits, Turn};
pub use listeners::Listeners;
pub use long::{LongCall, LongQueue};
pub use outage::{Event, OutageBoard, Telling};
pub use outcome::{JobOutcome, job_outcome};
pub use producer::{Enqueued, Producer, Requeued, own_queues};
pub use sidecars::{SIDECAR_LOST, Seen, Sidecar, sidecars};
pub use unjournaled::{Entries, Journaled, Noted, Settled, Unjournaled};
pub use worker::{Command, Kept, QueueWorker, State, TakenJob, WorkerOptions};

/// Whether RQ of this major version records each run of a job as an execution of its
/// own, and so has other members in its registry of started jobs.
fn has_executions(rq_major: u32) -> bool {
    rq_major >= 2
}

/// Whether RQ of this major version lists the runs of each worker, too, instead of naming
/// its current job.
fn lists_executions_of_workers(rq_major: u32) -> bool {
    rq_major >= 3
}
