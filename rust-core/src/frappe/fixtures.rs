//! What was captured on a real Frappe 15 site, for unit tests.

use serde_json::Value;

fn json(name: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    let text = std::fs::read_to_string(format!("{path}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value["hex"].as_str().unwrap()).unwrap()
}

/// A student's entry of the session hash, after a login.
pub(crate) fn session_of_student() -> Vec<u8> {
    bytes(&json("redis_session_hash_entry_after_login")[0]["value"])
}

/// The Administrator's entry, with a CSRF token.
pub(crate) fn session_of_admin_with_csrf() -> Vec<u8> {
    bytes(&json("redis_session_hash_entry_admin_with_csrf")["value"])
}

/// `auth_tables.json`.
pub(crate) fn auth_tables() -> Value {
    json("auth_tables")
}
