//! The operations page: who may see it, and its two parts.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, request::Parts};
use memora_core::config::FrappeVersion;
use memora_core::services::{Site, overrides};
use memora_core::types::UtcMicros;
use memora_core::{Error, ErrorKind};

use crate::error::{Failure, Refusal};
use crate::extract::{self, Args};
use crate::page::{ADDRESS, DOCUMENT, HEADERS};
use crate::respond::{self, Answer, Envelope};
use crate::router::{Api, PagePart};
use crate::server::App;
use crate::{login, site};

use super::srs::administrators_look;

/// Where Frappe lets people log in, and sends them back to the page.
const LOGIN: &str = "/login?redirect-to=%2Fmemora-srs%2F";

/// Reasons for which only Frappe can judge a session. It does so where people log in: it ends
/// or extends the session there, and shows the form or sends back.
const OF_SESSIONS: [&str; 4] = [
    "session-unknown",
    "session-expired",
    "session-guest",
    "session-refresh",
];

/// Answers what a browser asks of the page.
pub(crate) async fn page(app: &App, part: PagePart, parts: &Parts) -> Answer {
    let mut envelope = Envelope {
        api: Api::V1,
        frappe: FrappeVersion::V15,
    };
    let answer = match site::admit_browser(&app.sites, parts).await {
        Ok(site) => {
            envelope.frappe = site.config.frappe;
            serve(app, &site, part, envelope, parts).await
        }
        Err(failure) => Err(failure),
    };
    let mut answer = answer.unwrap_or_else(|failure| failed(part, envelope, failure));
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, value);
    }
    answer
}

async fn serve(
    app: &App,
    site: &Arc<Site>,
    part: PagePart,
    envelope: Envelope,
    parts: &Parts,
) -> Result<Answer, Failure> {
    // What changes who is logged in, if anything does; the page itself is nobody else's.
    if let Some(reason) = overrides::reason(site, "").await {
        return Err(Failure::Decline(reason));
    }
    let no_arguments = Args::new();
    extract::refuse_steering(parts.uri.query(), &no_arguments)?;
    if part == PagePart::Bare {
        return Ok(respond::elsewhere(ADDRESS));
    }
    let now = UtcMicros::now();
    let looked = login::look(site, parts, &no_arguments, now).await;
    let login = match (looked, part) {
        (Ok(Some(login)), _) => login,
        (Ok(None), PagePart::Status) => {
            return Err(Error::new(ErrorKind::Forbidden, "Log in to see this").into());
        }
        (Ok(None), _) => return Ok(respond::elsewhere(LOGIN)),
        (Err(Failure::Decline(why)), PagePart::Document) if OF_SESSIONS.contains(&why) => {
            return Ok(respond::elsewhere(LOGIN));
        }
        (Err(failure), _) => return Err(failure),
    };
    let answer = match administrators_look(site, &login.player, now).await {
        Err(failure) => failed(part, envelope, failure),
        Ok(()) if part == PagePart::Status => {
            let token = login.csrf_token.as_ref().map(|token| token.expose());
            let status = app.page.status(site, login.player.as_str(), token);
            envelope.plain(&status.await)
        }
        Ok(()) => document(),
    };
    Ok(login.finish(site, answer))
}

fn document() -> Answer {
    let mut answer = respond::html(StatusCode::OK, DOCUMENT.html.clone());
    if let Ok(policy) = HeaderValue::try_from(&DOCUMENT.policy) {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// What keeps somebody from the page: for people as a page of its own.
fn failed(part: PagePart, envelope: Envelope, failure: Failure) -> Answer {
    let readable = match &failure {
        _ if part == PagePart::Status => None,
        Failure::Refused(refusal) => Some(refused(refusal)),
        Failure::Decline(reason) => Some(declined(reason)),
        Failure::NoSuchSite(_) => None,
    };
    let mut answer = envelope.failure(failure);
    if let Some(text) = readable {
        // Status, cookies and when to come back are those of any other answer.
        let page = respond::html(answer.status(), text);
        let (head, body) = page.into_parts();
        answer.headers_mut().extend(head.headers);
        *answer.body_mut() = body;
    }
    answer
}

fn refused(refusal: &Refusal) -> String {
    // Frappe says no more of it.
    if refusal.exc_type == "SessionStopped" {
        let what = "The site is in maintenance, and the sidecar serves nothing of it";
        let to_do = "When the work on it is done: bench --site <site> set-maintenance-mode off";
        return readable(refusal.status, what, to_do);
    }
    let message = refusal.message.as_deref().unwrap_or(refusal.exc_type);
    readable(refusal.status, message, "")
}

/// What Frappe would answer were it a request of Frappe's: it has no such page.
fn declined(reason: &str) -> String {
    const ONE_SESSION: (&str, &str) = (
        "Frappe allows each user one session only and ends the others at every request, which \
         only Frappe may do",
        "This page needs deny_multiple_sessions to be off: in System Settings, or in \
         site_config.json",
    );
    let (what, to_do) = match reason {
        "srs_sidecar" => (
            "The sidecar is switched off for this site",
            "bench --site <site> set-config srs_sidecar 1 switches it on again",
        ),
        "rate_limit" => (
            "Frappe limits requests to this site, and only Frappe may count them",
            "This page needs rate_limit to be out of the site's configuration",
        ),
        "deny_multiple_sessions" | "deny-multiple-sessions" => ONE_SESSION,
        "extra_config" => (
            "Python of an app changes the site's configuration, which the sidecar cannot read",
            "This page needs extra_config to be out of the site's configuration",
        ),
        "allow_reads_during_maintenance" => (
            "The site is in maintenance, in which only Frappe may answer",
            "When the work on it is done: bench --site <site> set-maintenance-mode off",
        ),
        "config" => (
            "The sidecar cannot read this site's configuration",
            "memora-srs check-config on the server says what is wrong",
        ),
        "auth-hooks" => (
            "An app has hooks that judge logins, and only Frappe may run them",
            "There is no such page beside auth_hooks",
        ),
        "cmd" | "sid-argument" | "response-type" | "language-argument" => (
            "The address asks for something that only Frappe has",
            "Open /memora-srs/ without anything after it",
        ),
        _ => (
            "This request is one that only Frappe may judge",
            "Log in to Desk anew and come back; memora-srs check-config on the server says how \
             the site is configured",
        ),
    };
    let what = format!("{what} ({reason})");
    readable(StatusCode::MISDIRECTED_REQUEST, &what, to_do)
}

/// A page of its own: what is the matter, what to do, and where the same is meanwhile.
fn readable(status: StatusCode, what: &str, to_do: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width\">\n<title>Memora SRS</title>\n\
         <h1>{status}</h1>\n<p>{}.</p>\n<p>{}</p>\n\
         <p>The same work is in <a href=/app/memora-srs>Desk</a>.</p>\n",
        respond::escape_html(what.trim_end_matches('.')),
        respond::escape_html(to_do)
    )
}
