//! What is, at this moment, for all who look at one site's operations page: asked for while
//! somebody looks, once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memora_core::Result;
use memora_core::queue::LongQueue;
use memora_core::services::clear::{self, CacheStatus};
use memora_core::services::gauges::{self, Gauges};
use memora_core::services::overview::{Overview, overview};
use memora_core::services::{Site, safe_mode};
use serde::{Serialize, Serializer};
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};

/// How long what costs little is shown again.
const QUICK: Duration = Duration::from_secs(2);
/// How long the count of the cached schedules is: counting goes through all keys of a Redis.
const COUNT: Duration = Duration::from_secs(20);
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Sites that are remembered. There are not more on a bench that one process serves.
const SITES: usize = 1024;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Live(Mutex<HashMap<String, Arc<Readings>>>);

#[derive(Default)]
struct Readings {
    now: Reading<Now>,
    overview: Reading<Overview>,
    cache: Reading<CacheStatus>,
}

/// Something that was read, and when. Who comes while it is read waits for that.
struct Reading<T>(Turn<Option<(Instant, Option<Arc<T>>)>>);

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self(Turn::default())
    }
}

impl<T> Reading<T> {
    /// What was read at most `good_for` ago; `None` if it could not be had.
    async fn get(
        &self,
        good_for: Duration,
        read: impl Future<Output = Result<T>>,
    ) -> Option<Arc<T>> {
        let mut last = self.0.lock().await;
        if let Some((at, value)) = &*last
            && at.elapsed() < good_for
        {
            return value.clone();
        }
        let value = match timeout(PATIENCE, read).await {
            Ok(Ok(value)) => Some(Arc::new(value)),
            Ok(Err(error)) => {
                tracing::debug!(?error, "not shown on the operations page");
                None
            }
            Err(_) => None,
        };
        *last = Some((Instant::now(), value.clone()));
        value
    }
}

/// Servers and queues.
#[derive(Serialize)]
struct Now {
    safe_mode: safe_mode::Status,
    /// The breaker of this process over the Redis with the schedules: `closed`, `open`, or
    /// `recovering`.
    breaker: &'static str,
    /// Jobs in the queue that submits go to; `None` if its Redis does not answer.
    queue_jobs: Option<u64>,
    /// Servers of Redis, and how full they are.
    redis: Vec<gauges::Redis>,
    /// Frappe's queue of long jobs; `None` if its Redis does not answer.
    long: Option<LongQueue>,
    /// What is not in the table yet; `None` if MariaDB does not answer.
    journal: Option<Journal>,
}

/// Accepted submits that are not in the table.
#[derive(Serialize)]
struct Journal {
    /// On their way.
    pending: u64,
    /// They wait for an operator.
    failed: u64,
    /// Age of the oldest on its way.
    oldest_s: f64,
}

/// All of it. What could not be had is `null`.
#[derive(Serialize)]
pub(crate) struct Seen {
    #[serde(flatten, serialize_with = "shared")]
    now: Option<Arc<Now>>,
    #[serde(serialize_with = "shared")]
    overview: Option<Arc<Overview>>,
    #[serde(serialize_with = "shared")]
    cache: Option<Arc<CacheStatus>>,
}

fn shared<T: Serialize, S: Serializer>(
    value: &Option<Arc<T>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    value.as_deref().serialize(serializer)
}

impl Live {
    /// Looks at a site.
    pub(crate) async fn look(&self, site: &Site) -> Seen {
        let readings = self.readings(&site.config.site);
        let (now, overview, cache) = tokio::join!(
            readings.now.get(QUICK, now(site)),
            readings.overview.get(QUICK, overview(site)),
            readings.cache.get(COUNT, clear::status(site)),
        );
        Seen {
            now,
            overview,
            cache,
        }
    }

    fn readings(&self, site: &str) -> Arc<Readings> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sites.len() >= SITES && !sites.contains_key(site) {
            sites.clear();
        }
        sites.entry(site.to_owned()).or_default().clone()
    }
}

async fn now(site: &Site) -> Result<Now> {
    let long = timeout(PATIENCE / 2, site.producer.long_queue());
    let (gauges, safe_mode, long) =
        tokio::join!(gauges::gather(site), safe_mode::status(site), long);
    let Gauges {
        queue_jobs,
        backlog,
        redis,
        ..
    } = gauges;
    let breaker = site.safe_mode();
    Ok(Now {
        breaker: match (breaker.is_active(), breaker.is_open()) {
            (false, _) => "closed",
            (true, true) => "open",
            (true, false) => "recovering",
        },
        safe_mode,
        queue_jobs,
        redis,
        long: long.ok().and_then(Result::ok),
        journal: backlog.map(|backlog| Journal {
            pending: backlog.pending,
            failed: backlog.failed,
            oldest_s: backlog.oldest_s.unwrap_or(0.0).max(0.0),
        }),
    })
}
