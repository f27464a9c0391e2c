//! `/healthz`: the process answers. Its servers are not asked, so that an outage of one
//! does not make a supervisor restart what copes with it.

use memora_core::config::FrappeVersion;
use serde_json::json;

use crate::respond::{Answer, Envelope};
use crate::router::Api;

/// 200, always.
pub(crate) fn health() -> Answer {
    let envelope = Envelope {
        api: Api::V1,
        frappe: FrappeVersion::V15,
    };
    envelope.success(&json!({"status": "ok"}))
}
