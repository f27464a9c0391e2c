//! What this process counted and how its sites are, as text for Prometheus
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//! What is counted has its names in [`crate::metrics`]; what is asked for, here.
//!
//! | name (after `memora_srs_`) | meaning |
//! |---|---|
//! | `safe_mode_active{site}` | 1 while reads are answered without the cache |
//! | `breaker_state{site,redis,state}` | 1 for the state (`closed`, `open`, `back`) of the breaker over `cache`, `sessions` |
//! | `queue_jobs{site}` | jobs that wait in the queue that submits go to |
//! | `journal_pending_rows{site}` | accepted submits on their way into the table |
//! | `journal_failed_rows{site}` | accepted submits that wait for an operator |
//! | `journal_oldest_pending_seconds{site}` | age of the oldest on its way; 0 if there is none |
//! | `redis_memory_used_bytes{site,redis}`, `redis_memory_limit_bytes{site,redis}` | of `cache`, `sessions`, `queue` |
//! | `redis_evicted_keys_total{site,redis}` | keys that it gave up for want of room |
//! | `mariadb_connections{site,state}`, `mariadb_connections_max{site}`, `mariadb_connections_waited_for{site}` | this process's |
//! | `work_runs{site,work,state}` | `archive`, `rebuild`, `reconcile`: seasons `running`, `stopped`, `failed` |
//! | `work_last_noted_timestamp_seconds{site,work}` | when one was last heard of |
//! | `reconciliation_compared_items{site}`, `reconciliation_discrepancies{site}`, `reconciliation_discrepancy_ratio{site}` | of the last one |
//! | `reconciliation_started_timestamp_seconds{site}`, `reconciliation_duration_seconds{site}` | the same |
//! | `unreachable{site,server}` | 1 for a server that did not answer this time: `cache`, `sessions`, `queue`, `mariadb` |
//! | `build_info{version}` | the program |

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::NaiveDateTime;
use futures_util::future::join_all;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::gauges::{self, Gauges, Work};
use super::work::Standing;
use super::{Site, reconcile};
use crate::metrics::{OfSite, PREFIX, metrics};
use crate::servers::breaker::State;
use crate::{Error, Result};

/// The text's media type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of [`plain`].
pub const PLAIN_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Floats = Family<OfSite, Gauge<f64, AtomicU64>>;

/// What this process counted, and how these sites are now; takes a second or two at most.
///
/// # Errors
/// `Internal` for a defect.
pub async fn text(sites: &[Arc<Site>]) -> Result<String> {
    let gauges = join_all(sites.iter().map(|site| gauges::gather(site))).await;
    let mut registry = Registry::with_prefix(PREFIX);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "This program", version);
    metrics().register(&mut registry);
    let shown = Shown::default();
    for site in &gauges {
        shown.add(site);
    }
    shown.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|e| Error::internal("The metrics could not be written").with_source(e))?;
    Ok(text)
}

/// An exposition in Prometheus' own format, which is older and which every tool reads
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>). There a counter's name is
/// that of its samples, and there are no units, infos and ends.
pub fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // The line before says what a metric is for, and not yet of what type it is.
    let mut help = "";
    for line in open_metrics.lines() {
        let Some(descriptor) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        if let Some(is) = descriptor.strip_prefix("HELP ") {
            help = is;
        } else if let Some(is) = descriptor.strip_prefix("TYPE ") {
            let (name, kind) = is.split_once(' ').unwrap_or((is, "untyped"));
            let (ending, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            let words = help.strip_prefix(name).unwrap_or_default();
            for said in [
                "# HELP ",
                name,
                ending,
                words,
                "\n# TYPE ",
                name,
                ending,
                " ",
                kind,
                "\n",
            ] {
                text.push_str(said);
            }
        }
    }
    text
}

/// A Redis of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRedis {
    site: String,
    redis: &'static str,
}

/// A state of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBreaker {
    site: String,
    redis: &'static str,
    state: &'static str,
}

/// A server of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfServer {
    site: String,
    server: &'static str,
}

/// Connections of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    site: String,
    state: &'static str,
}

/// A kind of work of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWork {
    site: String,
    work: &'static str,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    site: String,
    work: &'static str,
    state: &'static str,
}

#[derive(Default)]
struct Shown {
    safe_mode: Family<OfSite, Gauge>,
    breaker: Family<OfBreaker, Gauge>,
    queue_jobs: Family<OfSite, Gauge>,
    pending: Family<OfSite, Gauge>,
    failed: Family<OfSite, Gauge>,
    oldest: Floats,
    memory_used: Family<OfRedis, Gauge>,
    memory_limit: Family<OfRedis, Gauge>,
    evicted: Family<OfRedis, Counter>,
    connections: Family<OfPool, Gauge>,
    connections_max: Family<OfSite, Gauge>,
    connections_waited_for: Family<OfSite, Gauge>,
    runs: Family<OfRun, Gauge>,
    last_noted: Family<OfWork, Gauge<f64, AtomicU64>>,
    compared: Family<OfSite, Gauge>,
    discrepancies: Family<OfSite, Gauge>,
    ratio: Floats,
    started: Floats,
    duration: Floats,
    unreachable: Family<OfServer, Gauge>,
}

impl Shown {
    fn add(&self, site: &Gauges) {
        let of = OfSite {
            site: site.site.clone(),
        };
        let unreachable = |server, is: bool| {
            let site = site.site.clone();
            let of = OfServer { site, server };
            self.unreachable.get_or_create(&of).set(i64::from(is));
        };
        set(&self.safe_mode, &of, u64::from(site.safe_mode));
        unreachable("queue", site.queue_jobs.is_none());
        if let Some(jobs) = site.queue_jobs {
            set(&self.queue_jobs, &of, jobs);
        }
        for redis in &site.redis {
            self.add_redis(site, redis);
            if redis.role != "queue" {
                unreachable(redis.role, redis.memory.is_none());
            }
        }
        unreachable("mariadb", !site.mariadb_answers);
        let pool = &site.mariadb;
        for (state, count) in [("used", pool.used), ("idle", pool.idle)] {
            let site = site.site.clone();
            set(&self.connections, &OfPool { site, state }, count as u64);
        }
        set(&self.connections_max, &of, pool.max as u64);
        set(&self.connections_waited_for, &of, pool.waiting as u64);
        if let Some(backlog) = &site.backlog {
            set(&self.pending, &of, backlog.pending);
            set(&self.failed, &of, backlog.failed);
            let oldest_s = backlog.oldest_s.unwrap_or(0.0).max(0.0);
            self.oldest.get_or_create(&of).set(oldest_s);
        }
        if let Some(work) = &site.work {
            self.add_work(&of, work);
        }
    }

    fn add_redis(&self, site: &Gauges, redis: &gauges::Redis) {
        let of = OfRedis {
            site: site.site.clone(),
            redis: redis.role,
        };
        if let Some(breaker) = redis.breaker {
            for state in State::ALL {
                let of = OfBreaker {
                    site: site.site.clone(),
                    redis: redis.role,
                    state: state.as_str(),
                };
                set(&self.breaker, &of, u64::from(state == breaker));
            }
        }
        if let Some(memory) = redis.memory {
            set(&self.memory_used, &of, memory.used_bytes);
            set(&self.memory_limit, &of, memory.limit_bytes);
            self.evicted.get_or_create(&of).inc_by(memory.evicted_keys);
        }
    }

    fn add_work(&self, of: &OfSite, work: &Work) {
        let reconciling = Standing {
            running: work.reconciling,
            ..Standing::default()
        };
        for (name, standing) in [
            ("archive", &work.archive),
            ("rebuild", &work.rebuild),
            ("reconcile", &reconciling),
        ] {
            for (state, count) in [
                ("running", standing.running),
                ("stopped", standing.stopped),
                ("failed", standing.failed),
            ] {
                let of = OfRun {
                    site: of.site.clone(),
                    work: name,
                    state,
                };
                set(&self.runs, &of, count);
            }
            if let Some(at) = standing.last_noted_at.as_deref().and_then(timestamp) {
                let site = of.site.clone();
                let of = OfWork { site, work: name };
                self.last_noted.get_or_create(&of).set(at);
            }
        }
        if let Some(report) = &work.last_reconciliation {
            self.add_report(of, report);
        }
    }

    fn add_report(&self, of: &OfSite, report: &reconcile::Report) {
        set(&self.compared, of, report.compared);
        set(&self.discrepancies, of, report.discrepancies_found);
        self.ratio.get_or_create(of).set(report.discrepancy_rate);
        self.duration.get_or_create(of).set(report.seconds);
        if let Some(at) = timestamp(&report.started_at) {
            self.started.get_or_create(of).set(at);
        }
    }

    fn register(self, registry: &mut Registry) {
        let (seconds, bytes) = (|| Unit::Seconds, || Unit::Bytes);
        registry.register(
            "safe_mode_active",
            "1 while reads are answered without the cache",
            self.safe_mode,
        );
        registry.register(
            "breaker_state",
            "1 for the state that the breaker over a Redis is in",
            self.breaker,
        );
        registry.register(
            "queue_jobs",
            "Jobs that wait in the queue that submits go to",
            self.queue_jobs,
        );
        registry.register(
            "journal_pending_rows",
            "Accepted submits on their way into the table",
            self.pending,
        );
        registry.register(
            "journal_failed_rows",
            "Accepted submits that wait for an operator",
            self.failed,
        );
        registry.register_with_unit(
            "journal_oldest_pending",
            "Age of the oldest accepted submit on its way; 0 if there is none",
            seconds(),
            self.oldest,
        );
        registry.register_with_unit(
            "redis_memory_used",
            "What a Redis uses, for whatever is in it",
            bytes(),
            self.memory_used,
        );
        registry.register_with_unit(
            "redis_memory_limit",
            "What a Redis may use: maxmemory, or the host's memory where none is set",
            bytes(),
            self.memory_limit,
        );
        registry.register(
            "redis_evicted_keys",
            "Keys that a Redis gave up for want of room",
            self.evicted,
        );
        registry.register(
            "mariadb_connections",
            "Connections of this process to MariaDB",
            self.connections,
        );
        registry.register(
            "mariadb_connections_max",
            "Connections of this process to MariaDB that there may be",
            self.connections_max,
        );
        registry.register(
            "mariadb_connections_waited_for",
            "Callers that wait for a connection to MariaDB",
            self.connections_waited_for,
        );
        registry.register(
            "work_runs",
            "Long work over all seasons: under way, stopped half-way, failed",
            self.runs,
        );
        registry.register_with_unit(
            "work_last_noted_timestamp",
            "When long work was last heard of",
            seconds(),
            self.last_noted,
        );
        registry.register(
            "reconciliation_compared_items",
            "Items that the last reconciliation compared",
            self.compared,
        );
        registry.register(
            "reconciliation_discrepancies",
            "Items on which cache and record disagreed at the last reconciliation",
            self.discrepancies,
        );
        registry.register(
            "reconciliation_discrepancy_ratio",
            "Their share of the compared ones, 0 to 1",
            self.ratio,
        );
        registry.register_with_unit(
            "reconciliation_started_timestamp",
            "When the last reconciliation began",
            seconds(),
            self.started,
        );
        registry.register_with_unit(
            "reconciliation_duration",
            "How long the last reconciliation took",
            seconds(),
            self.duration,
        );
        registry.register(
            "unreachable",
            "1 for a server that did not answer this time",
            self.unreachable,
        );
    }
}

fn set<L>(family: &Family<L, Gauge>, of: &L, value: u64)
where
    L: Clone + std::hash::Hash + Eq,
{
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    family.get_or_create(of).set(value);
}

/// UTC epoch seconds of a time in ISO 8601, with or without its Z.
fn timestamp(utc: &str) -> Option<f64> {
    let naive = utc.strip_suffix('Z').unwrap_or(utc);
    let at = NaiveDateTime::parse_from_str(naive, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(at.and_utc().timestamp_micros() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::{plain, timestamp};

    #[test]
    fn the_older_format_has_other_names_and_nothing_of_the_newer() {
        let text = "# HELP a_build This program.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n\
                    # HELP a_x X: # TYPE.\n# TYPE a_x counter\na_x_total 2\n\
                    # HELP a_s S.\n# TYPE a_s gauge\n# UNIT a_s seconds\na_s{x=\"# EOF\"} 3.0\n# EOF\n";
        let expected = "# HELP a_build_info This program.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n\
                        # HELP a_x_total X: # TYPE.\n# TYPE a_x_total counter\na_x_total 2\n\
                        # HELP a_s S.\n# TYPE a_s gauge\na_s{x=\"# EOF\"} 3.0\n";
        assert_eq!(plain(text), expected);
    }

    #[test]
    fn times_of_both_spellings() {
        assert_eq!(timestamp("1970-01-01T00:01:00.500000"), Some(60.5));
        assert_eq!(timestamp("1970-01-01T00:01:00.500000Z"), Some(60.5));
        assert_eq!(timestamp("yesterday"), None);
    }
}
