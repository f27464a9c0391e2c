//! The name that an answer carries for Frappe's monitor, where that is on.
//!
//! Frappe takes the client's own name for its request, else makes a random UUID.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::respond::Answer;

/// What it calls a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-frappe-request-id");

/// The answer with its name.
pub(crate) fn name(request: &HeaderMap, mut answer: Answer) -> Answer {
    let given = request.get(&REQUEST_ID).filter(|id| !id.is_empty());
    let id = match given {
        Some(id) => Some(id.clone()),
        None => HeaderValue::try_from(Uuid::new_v4().to_string()).ok(),
    };
    if let Some(id) = id {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    answer
}
