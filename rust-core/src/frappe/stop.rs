//! How authentication ends early.

use crate::Error;

/// An answer other than "this is who asks".
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// Only Frappe can judge this, or judging it has side effects there. The reason is a
    /// fixed word for the header `X-Memora-Decline`.
    Decline(&'static str),
    /// The request is refused, or a server is away.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// Result of a step that may end authentication.
pub(super) type Step<T> = Result<T, Stop>;
