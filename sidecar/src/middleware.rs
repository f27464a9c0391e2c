//! Around every request: its id, its bounds, its log line, and a wall against panics.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, Request, StatusCode, Uri, header};
use hyper::body::Incoming;
use memora_core::Error;
use memora_core::config::FrappeVersion;
use memora_core::metrics::{Answered, Asked, metrics};
use memora_core::types::SubmissionId;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::error::{Failure, Refusal};
use crate::respond::{Answer, DECLINE, Envelope};
use crate::router::{self, Api, Route};
use crate::server::App;
use crate::{extract, handlers};

/// Names a request across web server, sidecar and Frappe.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-memora-request-id");

/// Longest URL in bytes: what nginx takes by default.
const MAX_URI: usize = 8 * 1024;
/// All headers together, in bytes: what nginx takes by default.
const MAX_HEADERS: usize = 32 * 1024;

/// Answers one request and logs it.
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
    let span = tracing::info_span!("request", request_id = id);
    let in_flight = InFlight::new();
    let work = async move {
        let answer = dispatch(&app, route, request).await;
        drop(alive);
        answer
    };
    let answer = tokio::spawn(work.instrument(span.clone()))
        .await
        .unwrap_or_else(|_| {
            // The panic itself has been printed by its hook.
            let error = Error::internal("the request's task panicked");
            span.in_scope(|| envelope(route).failure(error.into()))
        });
    drop(in_flight);
    let (operation, status) = (operation(route), answer.status().as_u16());
    let took = started.elapsed().as_secs_f64();
    let answered = Answered { operation, status };
    metrics().http_requests.get_or_create(&answered).inc();
    let asked = Asked { operation };
    metrics().http_seconds.get_or_create(&asked).observe(took);
    tracing::info!(
        parent: &span,
        %method,
        operation,
        status,
        declined = answer.headers().get(DECLINE).and_then(|v| v.to_str().ok()),
        duration_ms = took * 1e3,
        "request answered"
    );
    answer
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
            Route::Method(api, operation) => {
                handlers::review(app, api, operation, &parts, &mut body).await
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

/// The client's id if it is one (the web server in front sets it), else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(|id| SubmissionId::parse(REQUEST_ID.as_str(), id).ok())
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
        Route::Health | Route::Decline(_) => Api::V1,
    };
    Envelope {
        api,
        frappe: FrappeVersion::V15,
    }
}

/// The route for log and metrics: never the path, which anybody can write.
fn operation(route: Route) -> &'static str {
    match route {
        Route::Health => "healthz",
        Route::Method(_, operation) => operation.method_path(),
        Route::Decline(_) => "-",
    }
}
