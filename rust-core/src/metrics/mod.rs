//! What this process counts, under the names that operators see on `/metrics`.
//!
//! Two kinds of metric are never mixed. What happens is counted here, once, where it happens.
//! What *is* (a queue's length, a journal's age) is asked for when somebody wants to know
//! ([`crate::services::gauges`]), and never kept up to date around the code.
//!
//! Labels are bounded: a site of the bench, one of our own words; never a student, a season
//! or a path. Units are in the name, as Prometheus has it
//! (<https://prometheus.io/docs/practices/naming/>). What may be counted is there from the
//! start as 0, so that the first one is an increase.
//!
//! | name (after `memora_srs_`) | kind | meaning |
//! |---|---|---|
//! | `http_requests_total{operation,status}` | counter | answers, by what was asked and the HTTP status |
//! | `http_request_duration_seconds{operation}` | histogram | from the head read until the answer is made |
//! | `http_requests_in_flight` | gauge | requests being answered now |
//! | `http_slow_requests_total{operation}` | counter | answers that took longer than `--slow-request` |
//! | `http_failures_total{operation}` | counter | answers that tell of a server that is away, a wrong configuration or a defect: 5xx, but not maintenance and not what is wrong with the request |
//! | `http_declined_total{reason}` | counter | requests left to Frappe, by `X-Memora-Decline` |
//! | `panics_total` | counter | defects that ended whatever they were met by: one request, one transaction |
//! | `login_lookups_total{what,outcome}` | counter | `session`, `user`, `api_key`: `hit` if it was at hand, `miss` if a server was asked |
//! | `persistence_latency_seconds{site}` | histogram | from a submit accepted until it is in the table |
//! | `persistence_failures_total{site}` | counter | accepted submits that could not be applied this time |
//! | `safe_mode_reads_total{site,outcome}` | counter | reads while the cache was away: `degraded` (let through to the table) or `limited` (429) |
//! | `safe_mode_outages_total{site}` | counter | outages of the cache that this process was the first of its host to note |
//!
//! To add one: a field and a line in [`Metrics::register`], here; the row above, and the one
//! in `docs/MONITORING.md`.

mod labels;
mod latency;

use std::sync::{LazyLock, Once, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use labels::SafeModeRead;
pub use labels::{Answered, Asked, Because, LoginOutcome, Looked, LookedUp, OfSite, Outcome};
pub use latency::{Latency, Past, Summary};

/// Begins every name.
pub const PREFIX: &str = "memora_srs";

/// Upper bounds in seconds: the thresholds of alerts (0.2 for a read, 1 for a submit) are
/// among them, so that a quantile near one is exact.
const REQUEST_S: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];
/// The same for what happens in the background: from a worker that does nothing else to one
/// that was away for an hour; with the threshold of its alert, 300.
const BACKGROUND_S: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// Counters of this process. See the module's documentation.
pub struct Metrics {
    /// `http_requests_total`
    pub http_requests: Family<Answered, Counter>,
    /// `http_request_duration_seconds`
    pub http_seconds: Family<Asked, Latency, fn() -> Latency>,
    /// `http_requests_in_flight`
    pub http_in_flight: Gauge,
    /// `http_slow_requests_total`
    pub http_slow: Family<Asked, Counter>,
    /// `http_failures_total`
    pub http_failures: Family<Asked, Counter>,
    /// `http_declined_total`
    pub http_declined: Family<Because, Counter>,
    /// `panics_total`
    pub panics: Counter,
    login_lookups: Family<LookedUp, Counter>,
    persistence_seconds: Family<OfSite, Latency, fn() -> Latency>,
    persistence_failures: Family<OfSite, Counter>,
    safe_mode_reads: Family<SafeModeRead, Counter>,
    safe_mode_outages: Family<OfSite, Counter>,
    /// What may be asked for, in the order of the router.
    operations: RwLock<Vec<&'static str>>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    http_requests: Family::default(),
    http_seconds: Family::new_with_constructor(|| Latency::new(&REQUEST_S)),
    http_in_flight: Gauge::default(),
    http_slow: Family::default(),
    http_failures: Family::default(),
    http_declined: Family::default(),
    panics: Counter::default(),
    login_lookups: Family::default(),
    persistence_seconds: Family::new_with_constructor(|| Latency::new(&BACKGROUND_S)),
    persistence_failures: Family::default(),
    safe_mode_reads: Family::default(),
    safe_mode_outages: Family::default(),
    operations: RwLock::default(),
});

/// Counts panics from now on, and leaves what is done about them to whoever it was. Once.
pub fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            METRICS.panics.inc();
            before(info);
        }));
    });
}

/// The counters of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    /// These can be asked for here: they are shown from now on, though nobody asked.
    pub fn expect_operations(&self, names: &[&'static str]) {
        let mut known = self
            .operations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for operation in names {
            if !known.contains(operation) {
                known.push(operation);
            }
            let asked = Asked { operation };
            drop(self.http_seconds.get_or_create(&asked));
            drop(self.http_slow.get_or_create(&asked));
            drop(self.http_failures.get_or_create(&asked));
        }
    }

    /// What can be asked for here.
    pub fn operations(&self) -> Vec<&'static str> {
        let known = self.operations.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This site is served here: what it may count is shown from now on.
    pub fn expect_site(&self, site: &str) {
        let of = OfSite {
            site: site.to_owned(),
        };
        drop(self.persistence_seconds.get_or_create(&of));
        drop(self.persistence_failures.get_or_create(&of));
        drop(self.safe_mode_outages.get_or_create(&of));
        for outcome in [Outcome::Degraded, Outcome::Limited] {
            let site = site.to_owned();
            let read = SafeModeRead { site, outcome };
            drop(self.safe_mode_reads.get_or_create(&read));
        }
    }

    /// This site is no more: what it counted is shown no longer.
    pub fn forget_site(&self, site: &str) {
        let of = OfSite {
            site: site.to_owned(),
        };
        self.persistence_seconds.remove(&of);
        self.persistence_failures.remove(&of);
        self.safe_mode_outages.remove(&of);
        for outcome in [Outcome::Degraded, Outcome::Limited] {
            let site = site.to_owned();
            self.safe_mode_reads.remove(&SafeModeRead { site, outcome });
        }
    }

    /// Where look-ups of somebody are counted, for whoever counts many.
    pub(crate) fn login_lookups(&self, what: Looked, outcome: LoginOutcome) -> Counter {
        let looked_up = LookedUp { what, outcome };
        self.login_lookups.get_or_create_owned(&looked_up)
    }

    /// How long accepted submits of `site` took until they were in the table.
    pub fn persistence(&self, site: &str) -> Latency {
        let site = site.to_owned();
        self.persistence_seconds
            .get_or_create_owned(&OfSite { site })
    }

    /// A submit of `site` could not be applied this time.
    pub(crate) fn persistence_failure(&self, site: &str) {
        let site = site.to_owned();
        self.persistence_failures
            .get_or_create(&OfSite { site })
            .inc();
    }

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
            "http_slow_requests",
            "Answers that took longer than --slow-request",
            self.http_slow.clone(),
        );
        registry.register(
            "http_failures",
            "Answers that tell of a server that is away, a wrong configuration or a defect",
            self.http_failures.clone(),
        );
        registry.register(
            "http_declined",
            "Requests left to Frappe, by the reason that X-Memora-Decline gives",
            self.http_declined.clone(),
        );
        registry.register(
            "panics",
            "Defects that ended whatever they were met by",
            self.panics.clone(),
        );
        registry.register(
            "login_lookups",
            "Look-ups of who asks: at hand, or a server was asked",
            self.login_lookups.clone(),
        );
        registry.register_with_unit(
            "persistence_latency",
            "From a submit accepted until it is in the table",
            Unit::Seconds,
            self.persistence_seconds.clone(),
        );
        registry.register(
            "persistence_failures",
            "Accepted submits that could not be applied this time",
            self.persistence_failures.clone(),
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
