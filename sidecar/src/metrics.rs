//! `/metrics`, on an address of its own: nothing that a web server in front could pass on.
//!
//! Prometheus asks there, in the text format of `OpenMetrics`
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//! The names are in [`memora_core::metrics`] and [`memora_core::services::gauges`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use memora_core::metrics::{OfSite, PREFIX, metrics};
use memora_core::services::gauges::{self, Gauges};
use memora_core::services::{Site, Sites};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::respond::Answer;

const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// Connections at once.
const CONNECTIONS: usize = 16;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `/metrics` on `listener` for as long as the future is polled.
pub(crate) async fn run(listener: TcpListener, sites: Arc<Sites>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection to the metrics accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let sites = sites.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let sites = sites.clone();
                async move { Ok::<_, Infallible>(answer(&sites, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the metrics ended early");
            }
            drop(permit);
        });
    }
}

async fn answer<T>(sites: &Sites, request: &Request<T>) -> Answer {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match text(&sites.opened()).await {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                (StatusCode::INTERNAL_SERVER_ERROR, String::new())
            }
        },
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, CONTENT_TYPE);
    answer
}

/// What this process counted, and how the sites are.
async fn text(sites: &[Arc<Site>]) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "This program", version);
    metrics().register(&mut registry);
    let gauges = join_all(sites.iter().map(|site| gauges::gather(site))).await;
    show(&mut registry, &gauges);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// A server of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    site: String,
    server: &'static str,
}

fn show(registry: &mut Registry, all: &[Gauges]) {
    let safe_mode = Family::<OfSite, Gauge>::default();
    let queue_jobs = Family::<OfSite, Gauge>::default();
    let pending = Family::<OfSite, Gauge>::default();
    let failed = Family::<OfSite, Gauge>::default();
    let oldest = Family::<OfSite, Gauge<f64, AtomicU64>>::default();
    let unreachable = Family::<Server, Gauge>::default();
    for gauges in all {
        let of = OfSite {
            site: gauges.site.clone(),
        };
        let server = |server| Server {
            site: gauges.site.clone(),
            server,
        };
        let set = |family: &Family<OfSite, Gauge>, value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            family.get_or_create(&of).set(value);
        };
        set(&safe_mode, u64::from(gauges.safe_mode));
        unreachable
            .get_or_create(&server("queue"))
            .set(i64::from(gauges.queue_jobs.is_none()));
        unreachable
            .get_or_create(&server("mariadb"))
            .set(i64::from(gauges.backlog.is_none()));
        if let Some(jobs) = gauges.queue_jobs {
            set(&queue_jobs, jobs);
        }
        if let Some(backlog) = gauges.backlog {
            set(&pending, backlog.pending);
            set(&failed, backlog.failed);
            oldest
                .get_or_create(&of)
                .set(backlog.oldest_s.unwrap_or(0.0).max(0.0));
        }
    }
    registry.register(
        "safe_mode_active",
        "1 while reads are answered without the cache",
        safe_mode,
    );
    registry.register(
        "queue_jobs",
        "Jobs that wait in the queue that submits go to",
        queue_jobs,
    );
    registry.register(
        "journal_pending_rows",
        "Accepted submits on their way into the table",
        pending,
    );
    registry.register(
        "journal_failed_rows",
        "Accepted submits that wait for an operator",
        failed,
    );
    registry.register_with_unit(
        "journal_oldest_pending",
        "Age of the oldest accepted submit on its way; 0 if there is none",
        Unit::Seconds,
        oldest,
    );
    registry.register(
        "unreachable",
        "1 for a server that did not answer this time",
        unreachable,
    );
}
