//! What students asked of this process in the last quarter of an hour, for the page's plots:
//! the numbers of [`memora_core::metrics`].

use memora_core::metrics::{Asked, Past, Summary, metrics};
use serde::Serialize;

use crate::router::{Operation, Review};

/// What students call, with the names that the page knows.
const SHOWN: [(&str, Review); 2] = [
    ("reads", Review::GetSession),
    ("submits", Review::SubmitSession),
];

/// One operation, over all sites.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Traffic {
    name: &'static str,
    method: &'static str,
    /// Answers that told of a failure, since the process began.
    failed: u64,
    /// How long they took in the last minute, in seconds.
    last_minute: Summary,
    /// The same in steps of ten seconds, the oldest first.
    past: Vec<Past>,
}

/// What is known of each.
pub(crate) fn traffic() -> [Traffic; 2] {
    SHOWN.map(|(name, review)| {
        let operation = Operation::Review(review).method_path();
        let seconds = &metrics().http_seconds;
        let seconds = seconds.get_or_create_owned(&Asked { operation });
        let failures = metrics().http_failures.get(&Asked { operation });
        Traffic {
            name,
            method: operation,
            failed: failures.map_or(0, |count| count.get()),
            last_minute: seconds.last_minute(),
            past: seconds.past(),
        }
    })
}
