//! Who is asking: takes a request apart for [`Authenticator`], and answers for its verdict.
//!
//! [`Authenticator`]: memora_core::frappe::Authenticator

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use memora_core::ErrorKind;
use memora_core::frappe::{self, AuthContext, LoginRequest, SessionRefresh, SlidingCookie};
use memora_core::services::Site;
use memora_core::types::{Player, UtcMicros};

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
    cookie: Option<HeaderValue>,
    refresh: Option<SessionRefresh>,
}

/// Finds out who asks.
///
/// # Errors
/// 403 if it is nobody in particular, and what [`frappe::Authenticator::authenticate`]
/// refuses or declines.
pub(crate) async fn login(
    site: &Site,
    parts: &Parts,
    args: &Args,
    operation: Operation,
    now: UtcMicros,
) -> Result<Login, Failure> {
    let text = |name| text(&parts.headers, name);
    let sid = text(header::COOKIE).and_then(|cookies| frappe::sid_cookie(&cookies));
    let csrf_header = text(CSRF_TOKEN).filter(|token| !token.is_empty());
    let (authorization, forwarded_for) = (text(header::AUTHORIZATION), text(FORWARDED_FOR));
    let request = LoginRequest {
        method: parts.method.as_str(),
        sid: sid.as_deref(),
        authorization: authorization.as_deref(),
        authorization_source: parts.headers.contains_key(AUTHORIZATION_SOURCE),
        csrf_token: csrf_header
            .as_deref()
            .or_else(|| args.get("csrf_token")?.as_str()),
        forwarded_for: forwarded_for.as_deref(),
    };
    let login = site
        .auth
        .authenticate(&context(site), &request, now)
        .await
        .map_err(turned_away)?;
    match login {
        frappe::Login::User {
            player,
            cookie,
            refresh,
            ..
        } => Ok(Login {
            player,
            cookie: cookie.and_then(|c| set_cookie(&c, &parts.headers, now)),
            refresh,
        }),
        frappe::Login::Refused { error, cookie } => Err(Refusal {
            cookie: cookie
                .and_then(|c| set_cookie(&c, &parts.headers, now))
                .map(Box::new),
            nameless: true,
            ..Refusal::from(&error)
        }
        .into()),
        frappe::Login::Guest => Err(Refusal::guest(operation.method_path()).into()),
        frappe::Login::Decline(reason) => Err(Failure::Decline(reason)),
    }
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
            tokio::spawn(async move {
                if let Err(error) = site.auth.refresh(&context(&site), &refresh).await {
                    tracing::warn!(?error, "session not extended");
                }
            });
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
