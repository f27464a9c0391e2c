//! Which sidecars serve a bench: each says so on the bench's queue, for `memora-srs status` on
//! whatever host.
//!
//! Nothing else depends on it. A sidecar that ends as it should says that, too; one that died
//! cannot, and is missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Site, Sites};
use crate::Result;
use crate::queue::{Sidecar, sidecars};
use crate::types::UtcMicros;

pub use crate::queue::{SIDECAR_LOST as LOST, Seen};

/// How often a sidecar says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// How soon after a queue did not hear it: it may be back, and have forgotten who is there.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a queue may take, also while the process ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says that this sidecar is there, now and every few seconds, until it is dropped.
pub async fn keep(sites: Arc<Sites>) {
    loop {
        let all_heard = tell(&sites, false).await;
        sleep(if all_heard { BEAT } else { AGAIN }).await;
    }
}

/// Says that it ends.
pub async fn end(sites: &Sites) {
    tell(sites, true).await;
}

/// The sidecars of a site's bench.
///
/// # Errors
/// `Unavailable` if the queue's Redis is away.
pub async fn seen(site: &Site) -> Result<Vec<Seen>> {
    sidecars(&site.queue_redis, &site.config.bench_id).await
}

/// Once for each queue: the sites of a bench share one, as a rule. Whether all heard it.
async fn tell(sites: &Sites, ends: bool) -> bool {
    let mut queues: BTreeMap<(String, String), Arc<Site>> = BTreeMap::new();
    for name in sites.names().unwrap_or_default() {
        if let Ok(site) = sites.get(&name).await {
            let config = &site.config;
            let queue = config.redis_queue.expose().to_owned();
            queues.insert((queue, config.bench_id.clone()), site);
        }
    }
    let mut all_heard = true;
    for site in queues.values() {
        let sidecar = Sidecar::this(&site.config.bench_id);
        let told = sidecar.tell(&site.queue_redis, ends, UtcMicros::now());
        let told = timeout(PATIENCE, told).await;
        all_heard &= matches!(told, Ok(Ok(())));
        match told {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(?error, "No queue hears of this sidecar"),
            Err(_) => tracing::debug!("A queue is too slow to hear of this sidecar"),
        }
    }
    all_heard
}
