//! The monitoring address: `/metrics`, `/healthz` and `/readyz`, apart from where students
//! come, so that no web server in front could pass them on.
//!
//! Prometheus asks there, in the text format of `OpenMetrics`; who does not ask for that gets
//! its older one. The names are in [`memora_core::metrics`] and
//! [`memora_core::services::exposition`].
//!
//! It answers also while clients hold connections and do nothing with them: the oldest gives
//! way to a new one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use memora_core::services::{Sites, exposition, readiness};
use memora_core::{Error, ErrorKind};
use rustix::net::sockopt::set_tcp_user_timeout;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use crate::handlers::health;
use crate::respond::Answer;

const OPEN_METRICS: HeaderValue = HeaderValue::from_static(exposition::CONTENT_TYPE);
const PLAIN: HeaderValue = HeaderValue::from_static(exposition::PLAIN_TYPE);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Connections at once.
const CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a client may leave an answer, or a part of one, untaken.
const UNTAKEN: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves them on `listener`, if there is one, until the task is aborted; says where on
/// standard output.
///
/// # Errors
/// If that cannot be said.
pub(crate) fn start(
    listener: Option<TcpListener>,
    sites: &Arc<Sites>,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    use std::io::Write;

    let Some(listener) = listener else {
        return Ok(None);
    };
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "metrics on http://{address}/metrics")?;
    Ok(Some(tokio::spawn(run(listener, sites.clone()))))
}

async fn run(listener: TcpListener, sites: Arc<Sites>) {
    let mut open = Open::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.make_room();
                open.0.push_back(serve(stream, sites.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the metrics accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Connections, the oldest first. They end with the port.
#[derive(Default)]
struct Open(VecDeque<AbortHandle>);

impl Open {
    fn make_room(&mut self) {
        self.0.retain(|connection| !connection.is_finished());
        while self.0.len() >= CONNECTIONS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for connection in &self.0 {
            connection.abort();
        }
    }
}

/// Serves a connection in a task of its own.
fn serve(stream: TcpStream, sites: Arc<Sites>) -> AbortHandle {
    if let Err(error) = set_tcp_user_timeout(&stream, UNTAKEN.as_millis() as u32) {
        tracing::debug!(%error, "a connection to the metrics has no limit for untaken answers");
    }
    let service = service_fn(move |request| {
        let sites = sites.clone();
        async move { Ok::<_, Infallible>(answer(&sites, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the metrics ended early");
        }
    });
    task.abort_handle()
}

async fn answer<T>(sites: &Sites, request: &Request<T>) -> Answer {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        let error = json!({"error": "There is /metrics, /healthz and /readyz"});
        return print(StatusCode::NOT_FOUND, &error);
    }
    if request.method() != Method::GET {
        let error = json!({"error": "Only GET is answered here"});
        let mut answer = print(StatusCode::METHOD_NOT_ALLOWED, &error);
        let allow = HeaderValue::from_static("GET");
        answer.headers_mut().insert(header::ALLOW, allow);
        return answer;
    }
    match path {
        "/metrics" => match exposition::text(&sites.opened()).await {
            Ok(body) if wants_open_metrics(request.headers()) => {
                respond(StatusCode::OK, OPEN_METRICS, body)
            }
            Ok(body) => respond(StatusCode::OK, PLAIN, exposition::plain(&body)),
            Err(error) => failed(&error),
        },
        // The same as where students come.
        "/healthz" => health(),
        _ => ready(sites, request.uri().query()).await,
    }
}

/// Whether `Accept` names it, and not to refuse it. Prometheus does, before all else.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        named && weight.and_then(|q| q.parse().ok()) != Some(0.0)
    })
}

/// All sites, or the one that `?site=` names.
async fn ready(sites: &Sites, query: Option<&str>) -> Answer {
    let named = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find_map(|(name, value)| (name == "site").then_some(value));
    let looked = match named {
        Some(site) => readiness::look_at(sites, &site).await,
        None => readiness::look(sites).await,
    };
    match looked {
        Ok(readiness) if readiness.ready => print(StatusCode::OK, &readiness),
        Ok(readiness) => print(StatusCode::SERVICE_UNAVAILABLE, &readiness),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            print(StatusCode::NOT_FOUND, &json!({"error": error.message()}))
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Answer {
    tracing::error!(?error, "monitoring could not be answered");
    print(
        StatusCode::INTERNAL_SERVER_ERROR,
        &json!({"error": error.message()}),
    )
}

fn print(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => respond(status, JSON, body + "\n"),
        Err(error) => {
            tracing::error!(%error, "an answer is no JSON");
            respond(StatusCode::INTERNAL_SERVER_ERROR, JSON, String::new())
        }
    }
}

fn respond(status: StatusCode, content_type: HeaderValue, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}
