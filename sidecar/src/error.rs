//! Errors to HTTP: the only file that knows a status code of an error.
//!
//! Kinds that Frappe has keep Frappe's class name and status. A message goes to the
//! client only where it is meant for one; of defects the client learns no more than
//! that there is one.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use memora_core::config::FrappeVersion;
use memora_core::{Error, ErrorKind};

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Frappe should answer it; the reason, for the header and the log. Nothing has been
    /// done yet.
    Decline(&'static str),
    /// No such site, under this name.
    NoSuchSite(String),
    /// An error of ours, in Frappe's shape.
    Refused(Refusal),
}

impl Failure {
    /// Whether Frappe would answer before its monitor knows of the request.
    pub(crate) fn is_nameless(&self) -> bool {
        match self {
            Self::Decline(_) | Self::NoSuchSite(_) => true,
            Self::Refused(refusal) => refusal.nameless,
        }
    }
}

/// What an error answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The name of Frappe's exception class.
    pub(crate) exc_type: &'static str,
    /// The sentence for the user; Frappe gives none for exceptions raised bare.
    pub(crate) message: Option<String>,
    pub(crate) title: &'static str,
    pub(crate) retry_after: Option<Duration>,
    /// What to repeat a submit with.
    pub(crate) submission_id: Option<String>,
    /// Cookies to delete, as Frappe does with the session's error.
    pub(crate) forget_cookies: bool,
    /// The session's cookie, which slides though its request is refused.
    pub(crate) cookie: Option<Box<HeaderValue>>,
    /// Refused with the session, before Frappe names a request for its monitor.
    pub(crate) nameless: bool,
    /// Not the client's fault, nor anybody's wish: a server is away, a configuration wrong, or
    /// there is a defect. Its status alone does not say so: Frappe has 500 for bodies that are
    /// no JSON, and 503 for maintenance.
    pub(crate) failed: bool,
}

/// Title of a message that was given none.
const DEFAULT_TITLE: &str = "Message";

impl Refusal {
    fn new(status: StatusCode, exc_type: &'static str) -> Self {
        Self {
            status,
            exc_type,
            message: None,
            title: DEFAULT_TITLE,
            retry_after: None,
            submission_id: None,
            forget_cookies: false,
            cookie: None,
            nameless: false,
            failed: false,
        }
    }

    fn saying(self, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..self
        }
    }

    /// Frappe should answer; what a client without a Frappe behind us gets to read.
    pub(crate) fn declined(reason: &str) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "SidecarDeclined")
            .saying(format!("This request is for Frappe to answer ({reason})"))
    }

    /// A body that is not JSON though it says so. Frappe 14 and 15 fail on it.
    pub(crate) fn malformed_json(frappe: FrappeVersion) -> Self {
        match frappe {
            FrappeVersion::V14 | FrappeVersion::V15 => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "JSONDecodeError")
            }
            FrappeVersion::V16 => Self::new(StatusCode::EXPECTATION_FAILED, "DataError")
                .saying("Invalid request body"),
        }
    }

    /// JSON that is no object.
    pub(crate) fn arguments_are_no_object() -> Self {
        Self::new(StatusCode::EXPECTATION_FAILED, "ValidationError")
            .saying("Invalid request arguments")
    }

    /// Nobody is logged in and the method wants somebody.
    pub(crate) fn guest(method: &str) -> Self {
        Self {
            title: "Method Not Allowed",
            ..Self::new(StatusCode::FORBIDDEN, "PermissionError").saying(format!(
                "<details><summary>You are not permitted to access this resource.</summary>\
                 Function <strong>{method}</strong> is not whitelisted.</details>"
            ))
        }
    }

    /// The method is not for this HTTP method.
    pub(crate) fn http_method() -> Self {
        Self::new(StatusCode::FORBIDDEN, "PermissionError").saying("Not permitted")
    }

    /// More body than is read.
    pub(crate) fn body_too_large(max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge")
            .saying(format!("The request's body exceeds {max} bytes"))
    }

    /// The body did not come in time.
    pub(crate) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout")
            .saying("The request's body did not arrive in time")
    }

    /// The body broke off.
    pub(crate) fn body_broken() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest").saying("The request's body is incomplete")
    }

    /// More URL than is looked at.
    pub(crate) fn uri_too_long(max: usize) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "RequestURITooLarge")
            .saying(format!("The request's URL exceeds {max} bytes"))
    }

    /// More headers than are looked at.
    pub(crate) fn headers_too_large(max: usize) -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "RequestHeaderFieldsTooLarge",
        )
        .saying(format!("The request's headers exceed {max} bytes"))
    }
}

/// Status and class name of each kind, and whether the client may read the message.
fn shape(kind: ErrorKind) -> (StatusCode, &'static str, bool) {
    match kind {
        ErrorKind::InvalidInput => (StatusCode::EXPECTATION_FAILED, "ValidationError", true),
        // Frappe raises this one bare: which part of a credential is wrong is nobody's
        // business.
        ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, "AuthenticationError", false),
        ErrorKind::AddressRefused => (StatusCode::UNAUTHORIZED, "AuthenticationError", true),
        ErrorKind::BadCredentials => (StatusCode::BAD_REQUEST, "InvalidAuthorizationToken", true),
        ErrorKind::Csrf => (StatusCode::BAD_REQUEST, "CSRFTokenError", true),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "PermissionError", true),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "DoesNotExistError", true),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "ConflictError", true),
        ErrorKind::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "RateLimitExceededError",
            true,
        ),
        ErrorKind::Maintenance => (StatusCode::SERVICE_UNAVAILABLE, "SessionStopped", false),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UnavailableError", true),
        ErrorKind::Config | ErrorKind::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "MemoraError", false)
        }
    }
}

/// When to come back after a 503 that does not say.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let (status, exc_type, public) = shape(error.kind());
        let retry_after = match error.kind() {
            ErrorKind::Unavailable => Some(error.retry_after().unwrap_or(DEFAULT_RETRY)),
            _ => error.retry_after(),
        };
        Self {
            message: public.then(|| error.message().to_owned()),
            retry_after,
            submission_id: error.submission_id().map(str::to_owned),
            forget_cookies: error.kind() == ErrorKind::Unauthorized,
            failed: matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::Config | ErrorKind::Internal
            ),
            ..Self::new(status, exc_type)
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    /// Logs what the client does not get to see; elsewhere an error is only passed on.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Config | ErrorKind::Internal => tracing::error!(?error, "request failed"),
            ErrorKind::Unavailable => tracing::warn!(?error, "request not served"),
            _ => tracing::debug!(?error, "request refused"),
        }
        Self::Refused(Refusal::from(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frappe's statuses, from its `exceptions.py`; 409 and 503 classes are ours.
    #[test]
    fn every_kind_has_its_status() {
        for (kind, status, exc_type) in [
            (ErrorKind::InvalidInput, 417, "ValidationError"),
            (ErrorKind::Unauthorized, 401, "AuthenticationError"),
            (ErrorKind::AddressRefused, 401, "AuthenticationError"),
            (ErrorKind::BadCredentials, 400, "InvalidAuthorizationToken"),
            (ErrorKind::Csrf, 400, "CSRFTokenError"),
            (ErrorKind::Forbidden, 403, "PermissionError"),
            (ErrorKind::NotFound, 404, "DoesNotExistError"),
            (ErrorKind::Conflict, 409, "ConflictError"),
            (ErrorKind::RateLimited, 429, "RateLimitExceededError"),
            (ErrorKind::Maintenance, 503, "SessionStopped"),
            (ErrorKind::Unavailable, 503, "UnavailableError"),
            (ErrorKind::Config, 500, "MemoraError"),
            (ErrorKind::Internal, 500, "MemoraError"),
        ] {
            let refusal = Refusal::from(&Error::new(kind, "said"));
            assert_eq!(refusal.status.as_u16(), status, "{kind:?}");
            assert_eq!(refusal.exc_type, exc_type, "{kind:?}");
            // What is wrong inside stays inside.
            if status == 500 {
                assert_eq!(refusal.message, None, "{kind:?}");
            }
        }
    }

    #[test]
    fn an_unavailable_submit_says_when_and_with_what_to_come_back() {
        let error = Error::unavailable("later", Duration::from_secs(5)).with_submission_id("s-1");
        let refusal = Refusal::from(&error);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(5)));
        assert_eq!(refusal.submission_id.as_deref(), Some("s-1"));
        let silent = Refusal::from(&Error::new(ErrorKind::Unavailable, "later"));
        assert_eq!(silent.retry_after, Some(Duration::from_secs(1)));
    }
}
