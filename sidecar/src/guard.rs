//! Ways to pure functions that are called for every request: for `benches/guard`, which
//! counts their instructions and allocations, and for `fuzz`. Nothing else uses them, and no
//! released program has them.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use memora_core::config::FrappeVersion;
use memora_core::services::read::ReviewSession;
use serde_json::{Map, Value};

use crate::extract;
use crate::respond::Envelope;
use crate::router::Api;

/// The arguments of a request of Frappe 15; `None` if it is not served.
pub async fn arguments(
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
) -> Option<Map<String, Value>> {
    arguments_as(FrappeVersion::V15, headers, query, body).await
}

/// The same, of another version.
pub async fn arguments_as(
    frappe: FrappeVersion,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Bytes,
) -> Option<Map<String, Value>> {
    let args = extract::arguments(headers, query, body, frappe).await;
    let args = args.ok()?;
    extract::refuse_steering(query, &args).ok()?;
    Some(args)
}

/// The answer to a read, as Frappe 15 writes it.
pub fn review_answer(session: &ReviewSession) -> http::Response<Full<Bytes>> {
    let envelope = Envelope {
        api: Api::V1,
        frappe: FrappeVersion::V15,
    };
    envelope.success(session)
}
