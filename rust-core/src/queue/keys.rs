//! Names of the keys on the queue Redis.
//!
//! `queue` is RQ's name of a queue: `<bench id>:<queue>`.

pub(super) const QUEUES: &str = "rq:queues";
pub(super) const WORKERS: &str = "rq:workers";
/// Exists while `rq suspend` holds all workers.
pub(super) const SUSPENDED: &str = "rq:suspended";

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

/// Set of jobs that wait for this one.
pub(super) fn dependents(id: &str) -> String {
    format!("rq:job:{id}:dependents")
}

/// Stream of what came of a job.
pub(super) fn results(id: &str) -> String {
    format!("rq:results:{id}")
}

/// Sorted set of started jobs, by when they count as abandoned.
pub(super) fn started(queue: &str) -> String {
    format!("rq:wip:{queue}")
}

pub(super) fn finished(queue: &str) -> String {
    format!("rq:finished:{queue}")
}

pub(super) fn failed(queue: &str) -> String {
    format!("rq:failed:{queue}")
}

/// Sorted set of a job's runs (RQ 2).
pub(super) fn executions(id: &str) -> String {
    format!("rq:executions:{id}")
}

/// One run of a job (RQ 2).
pub(super) fn execution(id: &str, execution: &str) -> String {
    format!("rq:execution:{id}:{execution}")
}

pub(super) fn worker(name: &str) -> String {
    format!("rq:worker:{name}")
}

/// Set of the runs that a worker has (RQ 3).
pub(super) fn executions_of_worker(name: &str) -> String {
    format!("rq:worker:{name}:executions")
}

/// Workers of one queue.
pub(super) fn workers_of(queue: &str) -> String {
    format!("rq:workers:{queue}")
}

/// Ours: the attempt that won a submission.
pub(super) fn token(site: &str, hash: &str) -> String {
    format!("rq:memora:sub:{site}:{hash}")
}

/// Ours: jobs put into a queue whose waiting jobs are bounded, by when.
pub(super) fn waiting(queue: &str) -> String {
    format!("rq:memora:waiting:{queue}")
}

/// Ours: reads of all students of a site together, on all hosts, in this minute of Safe
/// Mode.
pub(super) fn safe_mode_all(site: &str) -> String {
    format!("rq:memora:sm:{site}:all")
}

/// Ours: exists while a student may not read again in Safe Mode; holds when they last did.
pub(super) fn safe_mode_student(site: &str, hash: &str) -> String {
    format!("rq:memora:sm:{site}:student:{hash}")
}

/// Ours: the hosts that an outage of the cache cuts off, and who tells administrators.
pub(super) fn safe_mode_outage(site: &str) -> String {
    format!("rq:memora:sm:{site}:outage")
}

/// Ours: when the outage ended that administrators were last told the end of.
pub(super) fn safe_mode_past(site: &str) -> String {
    format!("rq:memora:sm:{site}:past")
}

/// Ours: students whose schedule in the cache may lack something.
pub(super) fn dirty(site: &str) -> String {
    format!("rq:memora:dirty:{site}")
}

/// Ours: submissions of one student and season that the journal does not have yet.
pub(super) fn entries(site: &str, name: &str) -> String {
    format!("rq:memora:unj:{site}:{name}")
}

/// Ours: which of those there are.
pub(super) fn entry_names(site: &str) -> String {
    format!("rq:memora:unj:{site}")
}

/// Ours: the sidecars of a bench, by when they were last heard of.
pub(super) fn sidecars(bench_id: &str) -> String {
    format!("rq:memora:sidecars:{bench_id}")
}

/// Ours: what [`super::Producer::try_write`] tries to write to, and never does.
pub(super) fn nothing(site: &str) -> String {
    format!("rq:memora:nothing:{site}")
}

/// Ours: failures that the Error Log could not take, by job.
pub(super) fn untold(site: &str) -> String {
    format!("rq:memora:untold:{site}")
}

/// List of job ids that one of RQ's workers has taken and not begun.
pub(super) fn intermediate(queue: &str) -> String {
    format!("rq:queue:{queue}:intermediate")
}

/// When a job was first seen there.
pub(super) fn first_seen(queue: &str, id: &str) -> String {
    format!("rq:queue:{queue}:intermediate:first_seen:{id}")
}

/// Channel over which a worker is told what to do.
pub(super) fn pubsub(worker: &str) -> String {
    format!("rq:pubsub:{worker}")
}

/// Ours: which native worker looks after a queue.
pub(super) fn maintenance(queue: &str) -> String {
    format!("rq:memora:maintenance:{queue}")
}
