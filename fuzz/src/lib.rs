//! Fuzz targets: each reads bytes that somebody else wrote, and checks what must hold
//! whatever they are. A panic is a finding.
//!
//! `make fuzz SECONDS=60` lets libFuzzer change `seeds/<target>/` until something breaks;
//! what broke, made small, becomes another seed. `make test` reads all seeds again.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use memora_core::config::{FrappeVersion, Secret};
use memora_core::frappe::credentials::Authorization;
use memora_core::frappe::{SlidingCookie, pyrepr, sid_cookie};
use memora_core::pickle::{self, Limits};
use memora_core::queue::PersistCall;
use memora_core::services::read::ReviewRequest;
use memora_core::services::submit::SubmitRequest;
use memora_core::types::UtcMicros;
use memora_sidecar::guard;
use serde_json::Value;

/// A target: its name, which is that of its folder of seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("cookies", cookies),
    ("parameters", parameters),
    ("pickle", pickle),
    ("rq_job", rq_job),
    ("session_text", session_text),
];

/// Small, so that they are reached soon.
const LIMITS: Limits = Limits {
    input: 4096,
    values: 500,
    text: 8192,
    depth: 8,
};

/// A pickle of the session hash, or in a job: what is read can be written, and comes back.
pub fn pickle(bytes: &[u8]) {
    let Ok(value) = pickle::read(bytes, LIMITS) else {
        return;
    };
    let Ok(value) = Value::try_from(value) else {
        return;
    };
    let mut written = Vec::new();
    pickle::write(&mut written, &value).expect("JSON is plain data");
    let wide = Limits {
        input: written.len(),
        depth: LIMITS.depth + 1,
        ..LIMITS
    };
    let again = pickle::read(&written, wide).expect("what was written is read");
    assert!(Value::try_from(again).is_ok_and(|again| again == value));
}

/// The text of a session in the table: `repr` of Frappe 14 and 15, JSON of 16.
pub fn session_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = pyrepr::read(&text);
    let _ = pyrepr::read_json(&text);
}

/// The headers `Cookie` and `Authorization`; a session id that is sent comes back as it was.
pub fn cookies(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Authorization::parse(&text);
    let sid = sid_cookie(&text).unwrap_or_else(|| text.into_owned());
    let cookie = SlidingCookie {
        sid: Secret::new(sid.clone()),
        max_age_s: 60,
    };
    let sent = cookie.header_value(true, UtcMicros(0));
    let value = HeaderValue::try_from(&sent).expect("a header's value");
    assert!(value.to_str().is_ok());
    assert_eq!(sid_cookie(&sent), Some(sid));
}

/// A request's arguments: one byte for type and version, the query up to a line's end, the
/// body.
pub fn parameters(bytes: &[u8]) {
    const TYPES: [&str; 5] = [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=X",
        "multipart/form-data",
        "text/plain",
    ];
    const VERSIONS: [FrappeVersion; 3] =
        [FrappeVersion::V14, FrappeVersion::V15, FrappeVersion::V16];
    let Some((&first, rest)) = bytes.split_first() else {
        return;
    };
    let first = usize::from(first);
    let line = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    let (query, body) = rest.split_at(line);
    let query = String::from_utf8_lossy(query);
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static(TYPES[first % TYPES.len()]);
    headers.insert(header::CONTENT_TYPE, content_type);
    let version = VERSIONS[first / TYPES.len() % VERSIONS.len()];
    // Nothing in it waits: the body is there.
    let args = guard::arguments_as(version, &headers, Some(&query), body).now_or_never();
    let Some(args) = args.expect("arguments are read at once") else {
        return;
    };
    for steering in ["cmd", "sid"] {
        assert!(!args.contains_key(steering), "{steering} went through");
    }
    let _ = ReviewRequest::from_args(&args);
    let _ = SubmitRequest::from_args(&args, None, None);
    let _ = SubmitRequest::from_args(&args, Some(&query), Some(&query));
}

/// The data of a job in RQ's queue, packed or not.
pub fn rq_job(bytes: &[u8]) {
    let Some(call) = PersistCall::from_data("site||job", bytes, None) else {
        return;
    };
    let _ = call.submission_id();
    let Ok(submission) = call.submission() else {
        return;
    };
    let items = &submission.batch.items;
    assert!(!items.is_empty());
    for item in items {
        assert!((0.0..=4.0).contains(&item.new_stability));
    }
}
