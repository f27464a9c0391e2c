//! What this process counts, under the names that operators see on `/metrics`.
//!
//! Two kinds of metric are never mixed. What happens is counted here, once, where it happens.
//! What *is* (a queue's length, a journal's age) is asked for when somebody wants to know
//! ([`crate::services::gauges`]), and never kept up to date around the code.
//!
//! Labels are bounded: a site of the bench, one of our own words; never a student, a season
//! or a path. Units are in the name, as Prometheus has it
//! (<https://prometheus.io/docs/practices/naming/>).
//!
//! | name | kind | meaning |
//! |---|---|---|
//! | `memora_srs_http_requests_total{operation,status}` | counter | answers, by what was asked and the HTTP status |
//! | `memora_srs_http_request_duration_seconds{operation}` | histogram | from the head read until the answer is made |
//! | `memora_srs_http_requests_in_flight` | gauge | requests being answered now |
//! | `memora_srs_safe_mode_reads_total{site,outcome}` | counter | reads while the cache was away: `degraded` (let through to the table) or `limited` (429) |
//! | `memora_srs_safe_mode_outages_total{site}` | counter | outages of the cache that this process was the first of its host to note |

use std::fmt;
use std::sync::LazyLock;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Begins every name.
pub const PREFIX: &str = "memora_srs";

/// Upper bounds in seconds: the thresholds of alerts (0.2 for a read, 1 for a submit) are
/// among them, so that a quantile near one is exact.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// What was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// A method's dotted path, or a word of the router's.
    pub operation: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// As in [`Answered`].
    pub operation: &'static str,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfSite {
    /// Its name.
    pub site: String,
}

/// What became of a read without the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Let through to the table.
    Degraded,
    /// Refused, to come back later.
    Limited,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = match self {
            Self::Degraded => "degraded",
            Self::Limited => "limited",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

/// A read without the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SafeModeRead {
    /// Where.
    pub site: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Counters of this process. See the module's documentation.
pub struct Metrics {
    /// `http_requests_total`
    pub http_requests: Family<Answered, Counter>,
    /// `http_request_duration_seconds`
    pub http_seconds: Family<Asked, Histogram, fn() -> Histogram>,
    /// `http_requests_in_flight`
    pub http_in_flight: Gauge,
    safe_mode_reads: Family<SafeModeRead, Counter>,
    safe_mode_outages: Family<OfSite, Counter>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    http_requests: Family::default(),
    http_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
    http_in_flight: Gauge::default(),
    safe_mode_reads: Family::default(),
    safe_mode_outages: Family::default(),
});

/// The counters of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    /// A read of `site` while its cache was away.
    pub(crate) fn safe_mode_read(&self, site: &str, outcome: Outcome) {
        let site = site.to_owned();
        let read = SafeModeRead { site, outcome };
        self.safe_mode_reads.get_or_create(&read).inc();
    }

    /// The cache of `site` went away.
    pub(crate) fn safe_mode_outage(&self, site: &str) {
        let site = site.to_owned();
        self.safe_mode_outages.get_or_create(&OfSite { site }).inc();
    }

    /// Adds all of them to what is shown.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Answers, by what was asked and the HTTP status",
            self.http_requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head read until the answer is made",
            Unit::Seconds,
            self.http_seconds.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests being answered now",
            self.http_in_flight.clone(),
        );
        registry.register(
            "safe_mode_reads",
            "Reads while the cache was away: let through to the table, or refused for the limits",
            self.safe_mode_reads.clone(),
        );
        registry.register(
            "safe_mode_outages",
            "Outages of the cache that this process was the first of its host to note",
            self.safe_mode_outages.clone(),
        );
    }
}
