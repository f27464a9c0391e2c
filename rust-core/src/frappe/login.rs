//! The question "who sent this request?" and its answer.

use super::refresh::SessionRefresh;
use super::sliding_cookie::SlidingCookie;
use crate::Error;
use crate::config::{Secret, SiteConfig};
use crate::servers::mariadb::MariaDb;
use crate::servers::redis::RedisLink;
use crate::types::Player;

/// Where one site's sessions and users are.
#[derive(Clone, Copy)]
pub struct AuthContext<'a> {
    /// Frappe's `redis_cache`.
    pub redis: &'a RedisLink,
    /// The site's database.
    pub db: &'a MariaDb,
    /// The site's configuration as it is now.
    pub config: &'a SiteConfig,
}

/// What a request says about who sent it.
#[derive(Clone, Copy)]
pub struct LoginRequest<'a> {
    /// HTTP method, in capitals.
    pub method: &'a str,
    /// The `sid` cookie ([`super::sid_cookie`]).
    pub sid: Option<&'a str>,
    /// Header `Authorization`.
    pub authorization: Option<&'a str>,
    /// Whether there is a header `Frappe-Authorization-Source`.
    pub authorization_source: bool,
    /// Header `X-Frappe-CSRF-Token` if it is there and not empty, else the argument
    /// `csrf_token`.
    pub csrf_token: Option<&'a str>,
    /// Header `X-Forwarded-For`.
    pub forwarded_for: Option<&'a str>,
}

/// Who asks.
#[derive(Debug)]
pub enum Login {
    /// A user.
    User {
        /// Who, in the stored spelling.
        player: Player,
        /// How that is known.
        via: Via,
        /// To be sent with a good answer, so that the browser's cookie lives on.
        cookie: Option<SlidingCookie>,
        /// To be carried out after a good answer ([`super::Authenticator::refresh`]).
        refresh: Option<SessionRefresh>,
        /// The session's token, if it has one: for a page of ours that acts in its name.
        csrf_token: Option<Secret>,
    },
    /// A user's session, by a request that does not show that the user sent it.
    Refused {
        /// Why.
        error: Error,
        /// To be sent all the same, as Frappe does.
        cookie: Option<SlidingCookie>,
    },
    /// Nobody in particular.
    Guest,
    /// Only Frappe can say; the reason is a fixed word.
    Decline(&'static str),
}

/// How a user is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By the session of the `sid` cookie.
    Cookie,
    /// By an API key.
    Token,
}
