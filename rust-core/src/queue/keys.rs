//! Names of the keys on the queue Redis.
//!
//! `queue` is RQ's name of a queue: `<bench id>:<queue>`.

pub(super) const QUEUES: &str = "rq:queues";

pub(super) fn queue_name(bench_id: &str, queue: &str) -> String {
    format!("{bench_id}:{queue}")
}

/// List of waiting job ids.
pub(super) fn queue(queue: &str) -> String {
    format!("rq:queue:{queue}")
}

pub(super) fn job(id: &str) -> String {
    format!("rq:job:{id}")
}

/// Ours: the attempt that won a submission.
pub(super) fn token(site: &str, hash: &str) -> String {
    format!("rq:memora:sub:{site}:{hash}")
}

/// Ours: jobs put into a queue whose waiting jobs are bounded, by when.
pub(super) fn waiting(queue: &str) -> String {
    format!("rq:memora:waiting:{queue}")
}
