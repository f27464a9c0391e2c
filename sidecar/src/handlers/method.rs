//! A whitelisted method, in the order in which Frappe judges a request: site, maintenance,
//! body, session and CSRF, credentials, Guest, HTTP method, and what the method itself asks.
//! While Redis is away, reads of all together are limited before anybody's session is looked
//! up.

use std::sync::Arc;

use http::request::Parts;
use hyper::body::Incoming;
use memora_core::config::FrappeVersion;
use memora_core::services::{Site, overrides, safe_mode};
use memora_core::types::UtcMicros;

use crate::error::{Failure, Refusal};
use crate::extract;
use crate::respond::{Answer, Envelope};
use crate::router::{Api, Operation, Review};
use crate::server::App;
use crate::{login, monitor, site};

use super::{review, srs};

/// Answers a call of `operation`.
pub(crate) async fn method(
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
    if let Some(reason) = overrides::reason(site, operation.method_path()).await {
        return Err(Failure::Decline(reason));
    }
    let query = parts.uri.query();
    let body = extract::body(body, app.options.max_body, app.options.body_timeout).await?;
    let args = extract::arguments(&parts.headers, query, body, envelope.frappe).await?;
    extract::refuse_steering(query, &args)?;
    if operation == Operation::Review(Review::GetSession) {
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
        let player = &login.player;
        match operation {
            Operation::Review(asked) => {
                review::call(site, asked, player, &args, &parts.headers, envelope).await
            }
            // No part of the futures of students' requests, which are many more.
            Operation::Srs(asked) => {
                Box::pin(srs::call(site, asked, player, &args, envelope)).await
            }
        }
    } else {
        Err(Refusal::http_method().into())
    };
    let answer = answer.unwrap_or_else(|failure| envelope.failure(failure));
    Ok(named(login.finish(site, answer)))
}
