//! `get_review_session` and `submit_review_session`, in the order in which Frappe judges
//! a request: site, maintenance, body, session and CSRF, credentials, Guest, HTTP method,
//! arguments. While Redis is away, reads of all together are limited before anybody's
//! session is looked up.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName};
use hyper::body::Incoming;
use memora_core::batch::Door;
use memora_core::config::FrappeVersion;
use memora_core::failpoint;
use memora_core::services::read::{ReviewRequest, get_review_session};
use memora_core::services::submit::{SubmitRequest, submit_review_session};
use memora_core::services::{Site, safe_mode};
use memora_core::types::{Player, UtcMicros};

use crate::error::{Failure, Refusal};
use crate::extract::{self, Args};
use crate::middleware::REQUEST_ID;
use crate::respond::{Answer, Envelope};
use crate::router::{Api, Operation};
use crate::server::App;
use crate::{login, monitor, site};

/// A client's own name for a submit.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers a call of `operation`.
pub(crate) async fn review(
    app: &App,
    api: Api,
    operation: Operation,
    parts: &Parts,
    body: &mut Incoming,
) -> Answer {
    let mut envelope = Envelope {
        api,
        frappe: FrappeVersion::V15,
    };
    let site = match site::admit(&app.sites, parts).await {
        Ok(site) => site,
        Err(failure) => return envelope.failure(failure),
    };
    envelope.frappe = site.config.frappe;
    serve(app, &site, operation, envelope, parts, body)
        .await
        .unwrap_or_else(|failure| envelope.failure(failure))
}

async fn serve(
    app: &App,
    site: &Arc<Site>,
    operation: Operation,
    envelope: Envelope,
    parts: &Parts,
    body: &mut Incoming,
) -> Result<Answer, Failure> {
    if envelope.frappe == FrappeVersion::V14 && !parts.uri.path().starts_with("/api/method/") {
        // Frappe 14 has no versions in its URLs.
        return Err(Failure::Decline("api-version"));
    }
    let query = parts.uri.query();
    let body = extract::body(body, app.options.max_body, app.options.body_timeout).await?;
    let args = extract::arguments(&parts.headers, query, body, envelope.frappe).await?;
    extract::refuse_steering(query, &args)?;
    if operation == Operation::GetReviewSession {
        safe_mode::gate(site)?;
    }
    let now = UtcMicros::now();
    let named = |answer| match site.config.monitor {
        true => monitor::name(&parts.headers, answer),
        false => answer,
    };
    let login = match login::login(site, parts, &args, operation, now).await {
        Ok(login) => login,
        Err(failure) if failure.is_nameless() => return Err(failure),
        Err(failure) => return Ok(named(envelope.failure(failure))),
    };
    let answer = if operation.allows(&parts.method) {
        call(
            site,
            operation,
            &login.player,
            &args,
            &parts.headers,
            envelope,
        )
        .await
    } else {
        Err(Refusal::http_method().into())
    };
    let answer = answer.unwrap_or_else(|failure| envelope.failure(failure));
    Ok(named(login.finish(site, answer)))
}

async fn call(
    site: &Arc<Site>,
    operation: Operation,
    player: &Player,
    args: &Args,
    headers: &HeaderMap,
    envelope: Envelope,
) -> Result<Answer, Failure> {
    let now = UtcMicros::now();
    failpoint::hit(&site.config.site, "before_service").await?;
    match operation {
        Operation::GetReviewSession => {
            let request = ReviewRequest::from_args(args)?;
            let session = get_review_session(site, player, &request, now).await?;
            Ok(envelope.success(&session))
        }
        Operation::SubmitReviewSession => {
            let key = text(headers, &IDEMPOTENCY_KEY);
            let request_id = text(headers, &REQUEST_ID);
            let request = SubmitRequest::from_args(args, key, request_id)?;
            let answer = submit_review_session(site, player, &request, Door::Http, now);
            // No part of the futures of reads, which are many more.
            let answer = Box::pin(answer).await?;
            Ok(envelope.success(&answer))
        }
    }
}

/// A header's text; one that is not ASCII counts as empty, which no id may be.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}
