//! Around every request: its id, its bounds, its log line, and a wall against panics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};
use hyper::body::Incoming;
use memora_core::Error;
use memora_core::config::FrappeVersion;
use memora_core::metrics::{Answered, Asked, Because, metrics};
use memora_core::types::SubmissionId;
use tokio::sync::mpsc;
use tracing::{Instrument, field};

use crate::error::{Failure, Refusal};
use crate::respond::{Answer, DECLINE, Envelope, Failed};
use crate::router::{self, Api, Operation, PagePart, Route};
use crate::server::App;
use crate::{extract, handlers, monitor};

/// Names a request across web server, sidecar and Frappe.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-memora-request-id");

/// Longest URL in bytes: what nginx takes by default.
const MAX_URI: usize = 8 * 1024;
/// All headers together, in bytes: what nginx takes by default.
const MAX_HEADERS: usize = 32 * 1024;

/// Answers one request and logs it. Every line that is logged meanwhile has its id and, once
/// it is known, its site.
///
/// The work runs in a task of its own: it ends what it began though the client hangs up,
/// and a panic in it ends nothing else. `alive` is held until it is done.
pub(crate) async fn observe(
    app: Arc<App>,
    alive: mpsc::Sender<()>,
    request: Request<Incoming>,
) -> Answer {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = router::route(&method, request.uri().path());
    let slow = app.options.slow_request;
    let span = tracing::info_span!("request", request_id = id, site = field::Empty);
    let in_flight = InFlight::new();
    let work = async move {
        let answer = dispatch(&app, route, request).await;
        drop(alive);
        answer
    };
    let answer = tokio::spawn(work.instrument(span.clone()))
        .await
        .unwrap_or_else(|_| {
            // The panic itself has been logged by its hook.
            let error = Error::internal("the request's task panicked");
            span.in_scope(|| envelope(route).failure(error.into()))
        });
    drop(in_flight);
    let done = Done {
        method,
        operation: operation(route),
        answer: &answer,
        took: started.elapsed(),
    };
    done.count(slow);
    span.in_scope(|| done.log(slow));
    answer
}

/// A request that was answered.
struct Done<'a> {
    method: Method,
    operation: &'static str,
    answer: &'a Answer,
    took: Duration,
}

impl Done<'_> {
    fn count(&self, slow: Duration) {
        let (operation, status) = (self.operation, self.answer.status().as_u16());
        let (metrics, asked) = (metrics(), Asked { operation });
        let answered = Answered { operation, status };
        metrics.http_requests.get_or_create(&answered).inc();
        let seconds = metrics.http_seconds.get_or_create(&asked);
        seconds.observe(self.took.as_secs_f64());
        if self.took > slow {
            metrics.http_slow.get_or_create(&asked).inc();
        }
        if self.answer.extensions().get::<Failed>().is_some() {
            metrics.http_failures.get_or_create(&asked).inc();
        }
        if let Some(reason) = self.declined() {
            // One of our own words: nothing else writes this header.
            let reason = reason.to_owned();
            metrics
                .http_declined
                .get_or_create(&Because { reason })
                .inc();
        }
    }

    fn log(&self, slow: Duration) {
        let (method, operation) = (known(&self.method), self.operation);
        let status = self.answer.status().as_u16();
        let (declined, duration_ms) = (self.declined(), self.took.as_secs_f64() * 1e3);
        // The same fields twice: a level is part of where a line is made.
        if self.took > slow {
            tracing::warn!(
                method,
                operation,
                status,
                declined,
                duration_ms,
                "slow request"
            );
        } else {
            tracing::info!(
                method,
                operation,
                status,
                declined,
                duration_ms,
                "request answered"
            );
        }
    }

    fn declined(&self) -> Option<&str> {
        self.answer.headers().get(DECLINE)?.to_str().ok()
    }
}

/// A method's name for the log; one that a client made up may be as long as it likes.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS
        | Method::TRACE
        | Method::CONNECT => method.as_str(),
        _ => "other",
    }
}

/// Counts a request for as long as it is answered, also where its client hangs up.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        metrics().http_in_flight.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics().http_in_flight.dec();
    }
}

async fn dispatch(app: &App, route: Route, request: Request<Incoming>) -> Answer {
    let (parts, mut body) = request.into_parts();
    let answer = if let Err(refusal) = check_bounds(&parts.uri, &parts.headers) {
        envelope(route).failure(refusal.into())
    } else {
        match route {
            Route::Health => handlers::health(),
            Route::OpenApi => handlers::openapi(),
            Route::Page(part) => handlers::page(app, part, &parts).await,
            Route::Method(api, operation) => {
                handlers::method(app, api, operation, &parts, &mut body).await
            }
            Route::Decline(reason) => envelope(route).failure(Failure::Decline(reason)),
        }
    };
    // A client that asked before sending its body keeps it; one that was too slow has
    // had its time.
    let asked = parts.headers.contains_key(header::EXPECT);
    if !asked && answer.status() != StatusCode::REQUEST_TIMEOUT {
        extract::discard(body, app.options.body_timeout).await;
    }
    answer
}

/// The id that the web server in front set, or the one that Frappe's monitor knows; a new one
/// where neither is an id. Nothing else of a client's gets into every line of the log.
fn request_id(headers: &HeaderMap) -> String {
    [REQUEST_ID, monitor::REQUEST_ID]
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find_map(|id| SubmissionId::parse("id", id).ok())
        .unwrap_or_else(SubmissionId::generate)
        .to_string()
}

fn check_bounds(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let uri_bytes = uri.path_and_query().map_or(0, |p| p.as_str().len());
    if uri_bytes > MAX_URI {
        return Err(Refusal::uri_too_long(MAX_URI));
    }
    let header_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if header_bytes > MAX_HEADERS {
        return Err(Refusal::headers_too_large(MAX_HEADERS));
    }
    Ok(())
}

/// How to answer before the site is known.
fn envelope(route: Route) -> Envelope {
    let api = match route {
        Route::Method(api, _) => api,
        Route::Health | Route::OpenApi | Route::Page(_) | Route::Decline(_) => Api::V1,
    };
    Envelope {
        api,
        frappe: FrappeVersion::V15,
    }
}

/// All that [`operation`] may say.
pub(crate) fn operations() -> Vec<&'static str> {
    let routes = [
        Route::Health,
        Route::Page(PagePart::Document),
        Route::Page(PagePart::Status),
        Route::Decline(""),
    ];
    let methods = Operation::ALL.map(Operation::method_path);
    methods.into_iter().chain(routes.map(operation)).collect()
}

/// The route for log and metrics: never the path, which anybody can write.
fn operation(route: Route) -> &'static str {
    match route {
        Route::Health => "healthz",
        Route::OpenApi => "openapi",
        Route::Page(part) => part.name(),
        Route::Method(_, operation) => operation.method_path(),
        Route::Decline(_) => "-",
    }
}
