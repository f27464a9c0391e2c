//! This process and its sites at a glance, as JSON, for callers in Python, who have no
//! Prometheus. The same numbers as on `/metrics`, with the percentiles of the last minute
//! already made.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use super::Site;
use super::gauges::{self, Gauges};
use crate::metrics::{Answered, Asked, Summary, metrics};

/// The statuses that are told apart. Others count in `requests` alone.
const STATUSES: [u16; 14] = [
    200, 400, 401, 403, 404, 408, 409, 413, 414, 417, 421, 429, 500, 503,
];

/// See the module's documentation. All but the sites is of this process alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The engine's version.
    pub version: &'static str,
    /// Requests being answered now.
    pub in_flight: i64,
    /// Defects that ended a request or a transaction, since the process began.
    pub panics: u64,
    /// What can be asked for.
    pub operations: Vec<Operation>,
    /// The sites that this process serves.
    pub sites: Vec<SiteNow>,
}

/// What was asked for over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// A method's dotted path, or a word of the router's.
    pub operation: &'static str,
    /// Answers since the process began.
    pub requests: u64,
    /// The same by HTTP status, those that there were.
    pub statuses: BTreeMap<u16, u64>,
    /// How long they took in the last minute, in seconds.
    pub last_minute: Summary,
}

/// A site now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteNow {
    /// How it is.
    #[serde(flatten)]
    pub now: Gauges,
    /// From a submit accepted until it is in the table, of what this process applied in the
    /// last minute, in seconds.
    pub persistence: Summary,
}

/// This process, and these sites now; takes a second or two at most.
pub async fn snapshot(sites: &[Arc<Site>]) -> Snapshot {
    let metrics = metrics();
    let gauges = join_all(sites.iter().map(|site| gauges::gather(site))).await;
    let operation = |operation| {
        let seconds = metrics
            .http_seconds
            .get_or_create_owned(&Asked { operation });
        let answers = |status| {
            let count = metrics.http_requests.get(&Answered { operation, status });
            count.map(|count| (status, count.get()))
        };
        Operation {
            operation,
            requests: seconds.count(),
            statuses: STATUSES.into_iter().filter_map(answers).collect(),
            last_minute: seconds.last_minute(),
        }
    };
    let site = |now: Gauges| SiteNow {
        persistence: metrics.persistence(&now.site).last_minute(),
        now,
    };
    Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        in_flight: metrics.http_in_flight.get(),
        panics: metrics.panics.get(),
        operations: metrics.operations().into_iter().map(operation).collect(),
        sites: gauges.into_iter().map(site).collect(),
    }
}
