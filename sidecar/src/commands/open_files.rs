//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside the clients' connections: those to the servers, logs, the spool.
const OTHERS: u64 = 256;

/// Raises this process's soft limit as far as so many connections need and the hard limit lets
/// it, and warns if that is not enough.
///
/// The soft limit is 1,024 nearly everywhere, for the sake of programs that use `select`. Beyond
/// it no connection is accepted, which clients see as a server that does not answer.
pub(super) fn allow(connections: usize) {
    let needed = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let has = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if has(limit.current) {
        return;
    }
    let wanted = limit.maximum.map_or(needed, |hard| hard.min(needed));
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if !has(allowed) {
        tracing::warn!(
            allowed,
            needed,
            "fewer open files than --max-connections needs: raise the limit \
             (LimitNOFILE= of systemd, minfds of supervisor)"
        );
    }
}
