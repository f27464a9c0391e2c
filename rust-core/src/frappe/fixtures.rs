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

/// The `sid` cookie that Frappe set in answer to a student's request.
pub(crate) fn set_cookie_of_a_session() -> String {
    let exchange = &json("http_get_with_sid_cookie")["exchange"];
    let headers = exchange["response_headers"].as_array().unwrap();
    let mut values = headers.iter().filter_map(|h| h[1].as_str());
    values.find(|v| v.starts_with("sid=")).unwrap().to_owned()
}
