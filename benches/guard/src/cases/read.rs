//! Of a read: the cache's reply, the answer's JSON, and what the table's rows go through.

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use memora_core::schedule_cache::{DuePage, Keys, Lookup};
use memora_core::services::guard;
use memora_core::services::request::ReviewRequest;
use memora_core::site_time::SiteZone;
use memora_core::types::{Player, Season};
use redis::Value;

use super::data::{NOW, PAGE, states, submission};
use super::{Case, calls, consuming};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("read_arguments", read_arguments),
        Case::new("cache_keys", cache_keys),
        Case::new("due_reply", due_reply),
        Case::new("review_json", review_json),
        Case::new("overlay_of_page", overlay_of_page),
        Case::new("overlay_of_1000", overlay_of_1000),
        Case::new("details_of_1000", details_of_1000),
    ]
}

fn read_arguments() -> Box<dyn FnMut()> {
    let headers = HeaderMap::new();
    calls(move || {
        let query = Some("limit=20&subject=Mathematics");
        let args = memora_sidecar::guard::arguments(&headers, query, Bytes::new());
        let args = args.now_or_never().flatten().expect("arguments");
        ReviewRequest::from_args(&args).expect("a request")
    })
}

fn cache_keys() -> Box<dyn FnMut()> {
    let player = Player::stored("student-000042@example.com");
    let season = Season::stored("SEASON-2026");
    calls(move || {
        let keys = Keys::new("", &player, &season);
        let details = keys.details();
        (keys, details)
    })
}

/// From the bytes on the connection to the states.
fn due_reply() -> Box<dyn FnMut()> {
    let reply = reply();
    calls(move || {
        let value = redis::parse_redis_value(&reply).expect("a reply");
        match guard::due_page(value) {
            Ok(Lookup::Complete(page)) => page,
            other => panic!("{other:?}"),
        }
    })
}

/// From the states to the bytes of the answer.
fn review_json() -> Box<dyn FnMut()> {
    let questions = states(PAGE);
    let page = DuePage {
        total: 123,
        questions,
    };
    let zone = SiteZone::from_setting(Some("Europe/Berlin"));
    consuming(&page, move |page| {
        memora_sidecar::guard::review_answer(&guard::review_session(page, zone, "SEASON-2026"))
    })
}

fn overlay_of_page() -> Box<dyn FnMut()> {
    let under = states(PAGE);
    let over = [submission(0).batch];
    consuming(&states(PAGE), move |page| {
        guard::lay_over(page, &under, &over, NOW)
    })
}

fn overlay_of_1000() -> Box<dyn FnMut()> {
    let over = [submission(0).batch];
    consuming(&states(1_000), move |rows| guard::merge(rows, &over))
}

fn details_of_1000() -> Box<dyn FnMut()> {
    let states = states(1_000);
    calls(move || guard::details(&states))
}

/// What the script `due` answers with a page of a complete schedule, in RESP.
fn reply() -> Vec<u8> {
    let states = states(PAGE);
    let mut page = Vec::new();
    let mut records = Vec::new();
    for state in &states {
        page.push(state.question.as_str().to_owned());
        page.push(state.due.to_score());
        // Of a schedule of one question the details hold one record, its subject the first
        // name and its topic the second.
        let details = guard::details(std::slice::from_ref(state));
        let record = details.into_iter().find(|(field, _)| field[0] == b'b');
        records.extend(record.expect("a record").1);
    }
    let names = ["1", "Mathematics", "2", "Algebra"].join("\0");
    let reply = [
        Value::Int(0),
        Value::Int(123),
        Value::BulkString(page.join("\0").into_bytes()),
        Value::BulkString(records),
        Value::Int(2),
        Value::BulkString(names.into_bytes()),
    ];
    let mut bytes = Vec::new();
    encode(&Value::Array(reply.to_vec()), &mut bytes);
    bytes
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Int(n) => out.extend(format!(":{n}\r\n").bytes()),
        Value::BulkString(bytes) => {
            out.extend(format!("${}\r\n", bytes.len()).bytes());
            out.extend(bytes);
            out.extend(b"\r\n");
        }
        Value::Array(items) => {
            out.extend(format!("*{}\r\n", items.len()).bytes());
            items.iter().for_each(|item| encode(item, out));
        }
        other => panic!("{other:?} is in no reply"),
    }
}
