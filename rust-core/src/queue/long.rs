//! Long work that the app's Python does in a job on `long`: the very job that
//! `frappe.enqueue` queues there, whichever door asks for it.
//!
//! The id is Frappe's, so that of one piece of work one job waits or runs, and what is done,
//! and told to Desk, is done in one place. Whether anybody listens to `long` is the bench's
//! affair; [`LongQueue`] says.

use serde_json::Value;

use super::{Producer, Requeued, job};
use crate::Result;
use crate::types::{Player, UtcMicros};

/// The queue of Frappe's long jobs.
pub(super) const LONG_QUEUE: &str = "long";

/// A call of one of the app's functions.
#[derive(Debug, Clone, PartialEq)]
pub struct LongCall<'a> {
    /// The function's dotted path.
    pub method: &'static str,
    /// Names the work within the site, of characters that every RQ takes.
    pub id: &'a str,
    /// Who asks: the job runs as this user.
    pub user: &'a Player,
    /// The function's keyword arguments, an object.
    pub kwargs: Value,
    /// Seconds that it may take.
    pub timeout: u32,
}

/// Frappe's queue of long jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LongQueue {
    /// Jobs that wait, whoever's they are.
    pub jobs: u64,
    /// Workers that listen and live.
    pub workers: u64,
}

impl Producer {
    /// Queues a long call unless its job waits or runs.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away: whether the job is queued is then unknown.
    pub async fn call_long(&self, call: &LongCall<'_>, now: UtcMicros) -> Result<Requeued> {
        let id = frappes_id(&self.site, self.rq_major, call.id);
        let data = job::encode_long_call(&self.site, call)?;
        let mut target = self.long.clone();
        target.timeout = call.timeout.to_string();
        self.plain(&id, call.method, data, &target, now).await
    }

    /// How long the queue of long jobs is, and whether anybody listens to it.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn long_queue(&self) -> Result<LongQueue> {
        let mut length = redis::cmd("LLEN");
        length.arg(&self.long.list);
        let jobs = self.redis.query(&length).await?;
        let workers = self.listeners_to(self.long.name.clone()).await?.count();
        Ok(LongQueue { jobs, workers })
    }
}

/// The id that Frappe gives a job of this name: with RQ 1 `<site>::<name>`; with RQ 2, which
/// loses ids with a colon, `<site>||<name>`. RQ 3 takes neither: as for our own jobs there.
fn frappes_id(site: &str, rq_major: u32, name: &str) -> String {
    match rq_major {
        0 | 1 => format!("{site}::{name}"),
        2 => format!("{site}||{}", name.replace(':', "|")),
        _ => format!("{}__{name}", super::job_id::plain(site)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_frappes_own() {
        let id = |rq_major| frappes_id("a.b", rq_major, "memora_srs_rebuild_0");
        assert_eq!(id(1), "a.b::memora_srs_rebuild_0");
        assert_eq!(id(2), "a.b||memora_srs_rebuild_0");
        assert_eq!(id(3), "a_b__memora_srs_rebuild_0");
    }
}
