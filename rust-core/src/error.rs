//! The engine's one error type.
//!
//! An [`ErrorKind`] says whose fault it is and what the caller can do; the doors turn it
//! into their own language in exactly one place each (`sidecar/src/error.rs`,
//! `py-bindings/src/error.rs`). The message is for the person who made the request: it
//! names the field and never carries a secret, a statement or a server's own words.
//! Those stay in `source`, which is logged once, at the boundary, and never sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Result with the engine's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms of the person who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong and changes nothing (Frappe's `ValidationError`).
    InvalidInput,
    /// Credentials were given and are wrong (Frappe's `AuthenticationError`).
    Unauthorized,
    /// The session is used from an address that its user may not come from (Frappe's
    /// `AuthenticationError` again, but one that says so and leaves the cookies alone).
    AddressRefused,
    /// The Authorization header cannot be read (Frappe's `InvalidAuthorizationToken`).
    BadCredentials,
    /// A session's request came without its CSRF token (Frappe's `CSRFTokenError`).
    Csrf,
    /// The user may not do this (Frappe's `PermissionError`).
    Forbidden,
    /// A named thing does not exist (Frappe's `DoesNotExistError`).
    NotFound,
    /// The same submission id came with other content.
    Conflict,
    /// Too many requests; [`Error::retry_after`] says when to come back.
    RateLimited,
    /// The site is in maintenance (Frappe's `SessionStopped`).
    Maintenance,
    /// A server that this needs is away or too busy; worth repeating after
    /// [`Error::retry_after`].
    Unavailable,
    /// A configuration file or option is wrong.
    Config,
    /// A defect or an unexpected answer of a server.
    Internal,
}

/// See the module's documentation.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    submission_id: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind with a message for the person who asked.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            submission_id: None,
            source: None,
        }
    }

    /// The request is wrong; `message` names the field.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A server is away or too busy; come back after `retry_after`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(ErrorKind::Unavailable, message).with_retry_after(retry_after)
    }

    /// A configuration file or option is wrong; `message` names both.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// A defect, or an answer that no server should give.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what a log should know and a client should not.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Says of whom it speaks, unless it does.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        if !self.message.contains(name) {
            self.message = format!("{name}: {}", self.message);
        }
        self
    }

    /// Adds when repeating makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds the submission id to repeat the request with.
    #[must_use]
    pub fn with_submission_id(mut self, id: impl Into<String>) -> Self {
        self.submission_id = Some(id.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the person who asked.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When repeating makes sense, if the error says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The submission id to repeat with, if the error belongs to a submit.
    pub fn submission_id(&self) -> Option<&str> {
        self.submission_id.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}

/// How long a client should wait after a server was found away or busy.
const COME_BACK: Duration = Duration::from_secs(1);

impl From<mysql_async::Error> for Error {
    fn from(e: mysql_async::Error) -> Self {
        match &e {
            mysql_async::Error::Server(_) => Self::internal("The database refused a statement"),
            _ => Self::unavailable("The database is not available", COME_BACK),
        }
        .with_source(e)
    }
}

impl From<redis::RedisError> for Error {
    fn from(e: redis::RedisError) -> Self {
        Self::unavailable("Redis is not available", COME_BACK).with_source(e)
    }
}
