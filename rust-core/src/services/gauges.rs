//! What is, at this moment: asked for when somebody wants to know, kept nowhere.
//!
//! A server that does not answer within a second leaves its part out, and is named: an
//! operator's graph has a gap there and an alert, not a last value that looks healthy.
//!
//! | name (after `memora_srs_`) | meaning |
//! |---|---|
//! | `safe_mode_active{site}` | 1 while reads are answered without the cache |
//! | `queue_jobs{site}` | jobs that wait in the queue that submits go to |
//! | `journal_pending_rows{site}` | accepted submits on their way into the table |
//! | `journal_failed_rows{site}` | accepted submits that wait for an operator |
//! | `journal_oldest_pending_seconds{site}` | age of the oldest on its way; 0 if there is none |
//! | `unreachable{site,server}` | 1 for a server that did not answer this time: `queue`, `mariadb` |

use std::time::Duration;

use tokio::time::timeout;

use super::{Site, safe_mode};
use crate::store::journal::{self, Backlog};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// One site at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Its name.
    pub site: String,
    /// Whether reads are answered without the cache.
    pub safe_mode: bool,
    /// Jobs that wait in the queue that submits go to; `None` if its Redis does not answer.
    pub queue_jobs: Option<u64>,
    /// What is not applied yet; `None` if MariaDB does not answer.
    pub backlog: Option<Backlog>,
}

/// Asks the servers of a site, all at once.
pub async fn gather(site: &Site) -> Gauges {
    let queue = timeout(PATIENCE, site.producer.depth());
    let backlog = timeout(PATIENCE, journal::backlog(&site.db));
    let safe_mode = timeout(PATIENCE, safe_mode::is_active(site));
    let (queue, backlog, safe_mode) = tokio::join!(queue, backlog, safe_mode);
    Gauges {
        site: site.config.site.clone(),
        // A cache that does not even say that it is away is away.
        safe_mode: safe_mode.unwrap_or(true),
        queue_jobs: queue.ok().and_then(Result::ok),
        backlog: backlog.ok().and_then(Result::ok),
    }
}
