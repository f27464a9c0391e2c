//! Who is asking: takes a request apart for [`Authenticator`], and answers for its verdict.
//!
//! [`Authenticator`]: memora_core::frappe::Authenticator

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use memora_core::config::Secret;
use memora_core::frappe::{self, AuthContext, LoginRequest, SessionRefresh, SlidingCookie};
use memora_core::services::{Site, bounded};
use memora_core::types::{Player, UtcMicros};
use memora_core::{Error, ErrorKind};
use tracing::Instrument;

use crate::error::{Failure, Refusal};
use crate::extract::Args;
use crate::respond::Answer;
use crate::router::Operation;

const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-frappe-csrf-token");
const AUTHORIZATION_SOURCE: HeaderName = HeaderName::from_static("frappe-authorization-source");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A user, and what is still owed to their session.
pub(crate) struct Login {
    /// Who asks, in the stored spelling.
    pub(crate) player: Player,
    /// What the session's changes are to be sent with, if it wants that.
    pub(crate) csrf_token: Option<Secret>,
    cookie: Option<HeaderValue>,
    refresh: Option<SessionRefresh>,
}

/// Finds out who asks for a method.
///
/// # Errors
/// 403 if it is nobody in particular, and those of [`look`].
pub(crate) async fn login(
    site: &Arc<Site>,
    parts: &Parts,
    args: &Args,
    operation: Operation,
    now: UtcMicros,
) -> Result<Login, Failure> {
    let login = look(site, parts, args, now).await?;
    login.ok_or_else(|| Refusal::guest(operation.method_path()).into())
}

/// Finds out who asks; `None` if it is nobody in particular.
///
/// # Errors
/// What [`frappe::Authenticator::authenticate`] refuses or declines.
pub(crate) async fn look(
    site: &Arc<Site>,
    parts: &Parts,
    args: &Args,
    now: UtcMicros,
) -> Result<Option<Login>, Failure> {
    let text = |name| text(&parts.headers, name).map(Cow::into_owned);
    let sid = text(header::COOKIE).and_then(|cookies| frappe::sid_cookie(&cookies));
    let csrf_header = text(CSRF_TOKEN).filter(|token| !token.is_empty());
    let csrf_argument = || Some(args.get("csrf_token")?.as_str()?.to_owned());
    let request = Said {
        method: parts.method.clone(),
        sid,
        authorization: text(header::AUTHORIZATION),
        authorization_source: parts.headers.contains_key(AUTHORIZATION_SOURCE),
        csrf_token: csrf_header.or_else(csrf_argument),
        forwarded_for: text(FORWARDED_FOR),
    };
    match judge(site, request, now).await.map_err(turned_away)? {
        frappe::Login::User {
            player,
            cookie,
            refresh,
            csrf_token,
            ..
        } => Ok(Some(Login {
            player,
            csrf_token,
            cookie: cookie.and_then(|c| set_cookie(&c, &parts.headers, now)),
            refresh,
        })),
        frappe::Login::Refused { error, cookie } => Err(Refusal {
            cookie: cookie
                .and_then(|c| set_cookie(&c, &parts.headers, now))
                .map(Box::new),
            nameless: true,
            ..Refusal::from(&error)
        }
        .into()),
        frappe::Login::Guest => Ok(None),
        frappe::Login::Decline(reason) => Err(Failure::Decline(reason)),
    }
}

/// What a request says about who sent it, for a look-up that may outlast it.
struct Said {
    method: Method,
    sid: Option<String>,
    authorization: Option<String>,
    authorization_source: bool,
    csrf_token: Option<String>,
    forwarded_for: Option<String>,
}

/// Asks the site, and does not wait long. A look-up that takes longer goes on: who comes back
/// finds what it brought.
async fn judge(site: &Arc<Site>, said: Said, now: UtcMicros) -> memora_core::Result<frappe::Login> {
    let judging = {
        let site = site.clone();
        async move {
            let request = LoginRequest {
                method: said.method.as_str(),
                sid: said.sid.as_deref(),
                authorization: said.authorization.as_deref(),
                authorization_source: said.authorization_source,
                csrf_token: said.csrf_token.as_deref(),
                forwarded_for: said.forwarded_for.as_deref(),
            };
            site.auth.authenticate(&context(&site), &request, now).await
        }
    };
    let judged = bounded::within(site.login_wait(), judging).await;
    judged.unwrap_or_else(|| {
        let message = "Checking who you are takes too long";
        Err(Error::unavailable(message, Duration::from_secs(1)))
    })
}

/// What [`frappe::Authenticator::authenticate`] makes of a request that it does not
/// welcome. The user's state and address are judged with the session.
fn turned_away(error: memora_core::Error) -> Failure {
    let with_session = matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::AddressRefused
    );
    match Failure::from(error) {
        Failure::Refused(refusal) => Failure::Refused(Refusal {
            nameless: with_session,
            ..refusal
        }),
        other => other,
    }
}

impl Login {
    /// Does for the session what Frappe does at a request's end: the cookie lives on, and
    /// after a good answer the session too. Nobody waits for the latter.
    pub(crate) fn finish(self, site: &Arc<Site>, mut answer: Answer) -> Answer {
        if let Some(cookie) = self.cookie {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
        if let Some(refresh) = self.refresh
            && answer.status().is_success()
        {
            let site = site.clone();
            let refreshing = async move {
                if let Err(error) = site.auth.refresh(&context(&site), &refresh).await {
                    tracing::warn!(?error, "session not extended");
                }
            };
            tokio::spawn(refreshing.in_current_span());
        }
        answer
    }
}

fn context(site: &Site) -> AuthContext<'_> {
    AuthContext {
        redis: &site.cache_redis,
        db: &site.db,
        config: &site.config,
    }
}

fn set_cookie(cookie: &SlidingCookie, headers: &HeaderMap, now: UtcMicros) -> Option<HeaderValue> {
    let secure = headers.get(FORWARDED_PROTO).is_some_and(|v| v == "https");
    let mut value = HeaderValue::try_from(cookie.header_value(secure, now)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A header's text, as far as it is one.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}
