//! What is, at this moment: asked for when somebody wants to know, kept nowhere.
//!
//! A server that does not answer within a second leaves its part out, and is named: an
//! operator's graph has a gap there and an alert, not a last value that looks healthy.
//! [`super::exposition`] has the names under which it is shown.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::work::{self, Kind, Standing};
use super::{Site, archive, rebuild, reconcile, safe_mode};
use crate::servers::breaker::State;
use crate::servers::mariadb::PoolUse;
use crate::servers::redis::RedisLink;
use crate::store::journal::{self, Backlog};
use crate::{ErrorKind, Result};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// One site at this moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gauges {
    /// Its name.
    pub site: String,
    /// Whether reads are answered without the cache.
    pub safe_mode: bool,
    /// Jobs that wait in the queue that submits go to; `None` if its Redis does not answer.
    pub queue_jobs: Option<u64>,
    /// Its servers of Redis, each once.
    pub redis: Vec<Redis>,
    /// This process's connections to MariaDB.
    pub mariadb: PoolUse,
    /// Whether MariaDB answered. Without the engine's tables it does, and the rest is `None`.
    pub mariadb_answers: bool,
    /// What is not applied yet.
    pub backlog: Option<Backlog>,
    /// Long work.
    pub work: Option<Work>,
}

/// A server of Redis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Redis {
    /// What it is to us: `cache` (schedules), `sessions` if another server has them, `queue`.
    pub role: &'static str,
    /// What the breaker over it thinks; there is none over the queue.
    pub breaker: Option<State>,
    /// `None` if it did not answer.
    pub memory: Option<Memory>,
}

/// How full a Redis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Bytes that it uses, for whatever is in it.
    pub used_bytes: u64,
    /// Bytes that it may use: its `maxmemory`, or all that the host has where none is set.
    pub limit_bytes: u64,
    /// Keys that it gave up for want of room, since it was started.
    pub evicted_keys: u64,
}

/// Long work, over all seasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Work {
    /// Seasons on their way into the archive, or back.
    pub archive: Standing,
    /// Rebuilds of the cache.
    pub rebuild: Standing,
    /// Reconciliations under way.
    pub reconciling: u64,
    /// The last one that came to its end.
    pub last_reconciliation: Option<reconcile::Report>,
}

/// Asks the servers of a site, all at once.
pub async fn gather(site: &Site) -> Gauges {
    // Before this look takes connections of its own.
    let mariadb = site.db.pool_use();
    let queue = timeout(PATIENCE, site.producer.depth());
    let backlog = timeout(PATIENCE, journal::backlog(&site.db));
    let safe_mode = timeout(PATIENCE, safe_mode::is_active(site));
    let (queue, redis, safe_mode, (backlog, work)) =
        tokio::join!(queue, redis(site), safe_mode, async {
            // One after the other: this must not take two of the few connections.
            let backlog = backlog.await;
            let work = match &backlog {
                Ok(Ok(_)) => timeout(PATIENCE, long_work(site)).await.ok(),
                _ => None,
            };
            (backlog, work.and_then(Result::ok))
        });
    // A statement that is refused was answered: the tables are not there.
    let refused = |error: &crate::Error| error.kind() != ErrorKind::Unavailable;
    let mariadb_answers = match &backlog {
        Ok(answer) => answer.is_ok() || answer.as_ref().is_err_and(refused),
        Err(_) => false,
    };
    Gauges {
        site: site.config.site.clone(),
        // A cache that does not even say that it is away is away.
        safe_mode: safe_mode.unwrap_or(true),
        queue_jobs: queue.ok().and_then(Result::ok),
        redis,
        mariadb,
        mariadb_answers,
        backlog: backlog.ok().and_then(Result::ok),
        work,
    }
}

async fn redis(site: &Site) -> Vec<Redis> {
    let sessions_apart = site.config.srs_redis != site.config.redis_cache;
    let links = [
        ("cache", Some(&site.srs_redis)),
        ("sessions", sessions_apart.then_some(&site.cache_redis)),
        ("queue", Some(&site.queue_redis)),
    ];
    let there = links
        .into_iter()
        .filter_map(|(role, link)| Some((role, link?)));
    let asked = there.map(|(role, link)| async move {
        let memory = timeout(PATIENCE, memory(link)).await;
        Redis {
            role,
            breaker: link.breaker_state(),
            memory: memory.ok().and_then(Result::ok),
        }
    });
    futures_util::future::join_all(asked).await
}

async fn memory(link: &RedisLink) -> Result<Memory> {
    let mut asked = redis::pipe();
    asked.cmd("INFO").arg("memory").cmd("INFO").arg("stats");
    let (memory, stats): (redis::InfoDict, redis::InfoDict) = link.pipeline(&asked).await?;
    let number = |info: &redis::InfoDict, name: &str| info.get::<u64>(name).unwrap_or(0);
    let limit_bytes = match number(&memory, "maxmemory") {
        0 => number(&memory, "total_system_memory"),
        set => set,
    };
    Ok(Memory {
        used_bytes: number(&memory, "used_memory"),
        limit_bytes,
        evicted_keys: number(&stats, "evicted_keys"),
    })
}

async fn long_work(site: &Site) -> Result<Work> {
    Ok(Work {
        archive: archive::standing(site).await?,
        rebuild: rebuild::standing(site).await?,
        reconciling: work::running(site, Kind::Reconcile).await?,
        last_reconciliation: reconcile::history(site).await?.pop(),
    })
}
