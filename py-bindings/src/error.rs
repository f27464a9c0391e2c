//! Errors to Python: the only file that knows which exception an error becomes.
//!
//! The classes are Python's own (`python/memora_srs/exceptions.py`): they have built-in
//! classes as second bases, which a native exception cannot. They are looked up when
//! needed, which is rare, so that nothing is kept across forks.

use memora_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The class for each kind.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "InvalidInputError",
        // Kinds of a login, which no function of the module does.
        ErrorKind::Unauthorized
        | ErrorKind::AddressRefused
        | ErrorKind::BadCredentials
        | ErrorKind::Csrf => "UnauthorizedError",
        ErrorKind::Forbidden => "ForbiddenError",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::RateLimited => "RateLimitedError",
        ErrorKind::Maintenance => "MaintenanceError",
        ErrorKind::Unavailable => "UnavailableError",
        ErrorKind::Config => "ConfigError",
        ErrorKind::Internal => "InternalError",
    }
}

/// The exception for an error. What only a log should know is logged here, once.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match error.kind() {
        ErrorKind::Internal => tracing::error!(?error, "The engine failed"),
        ErrorKind::Unavailable => tracing::warn!(?error, "The engine could not answer"),
        _ => {}
    }
    instance(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

fn instance<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let attributes = PyDict::new(py);
    attributes.set_item("retry_after", error.retry_after().map(|t| t.as_secs_f64()))?;
    attributes.set_item("submission_id", error.submission_id())?;
    py.import("memora_srs.exceptions")?
        .getattr(class(error.kind()))?
        .call((error.message(),), Some(&attributes))
}
