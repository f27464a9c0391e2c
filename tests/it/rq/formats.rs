//! Are captured jobs of a real Frappe 15 read right, and damaged ones refused?

use std::collections::HashMap;
use std::path::Path;

use memora_core::queue::PersistCall;
use memora_core::types::UtcMicros;
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// The hash of a captured job.
fn hash(fields: &Value) -> HashMap<String, Vec<u8>> {
    fields
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let bytes = hex::decode(value["hex"].as_str().unwrap()).unwrap();
            (name.clone(), bytes)
        })
        .collect()
}

const JOB_ID: &str = "srs.localhost::8cd6175d-10c3-4340-a3de-4a474135cb00";

#[test]
fn a_job_of_the_old_implementation_is_understood() {
    let captured: Value = serde_json::from_slice(&fixture("rq_job_hash_queued.json")).unwrap();
    let call = PersistCall::from_hash(JOB_ID, &hash(&captured["fields"])).unwrap();

    assert_eq!(call.site, "srs.localhost");
    assert_eq!(call.user.as_str(), "stu001@lab.test");
    assert_eq!(call.season.as_str(), "SEASON-2026");
    // 2026-11-23T02:44:34.499325Z
    assert_eq!(call.enqueued_at, Some(UtcMicros(1_795_401_874_499_325)));
    assert_eq!(call.submission_id, None);
    assert_eq!(
        call.submission_id().as_str(),
        "8cd6175d-10c3-4340-a3de-4a474135cb00"
    );
    let items = call.responses.as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(
        items[0],
        json!({
            "question_id": "921t25vb6l:0", "quality": 1, "response_time_ms": 1500,
            "new_stability": 1, "new_next_review_date": "2026-11-24T02:44:34.247335",
            "subject": "921sb69d87", "topic": "921tekj4jm",
        })
    );
    // From here on the pickle refers to what it memoized.
    assert_eq!(
        items[2],
        json!({
            "question_id": "921t25vb6l:2", "quality": 4, "response_time_ms": 1774,
            "new_stability": 4, "new_next_review_date": "2026-12-07T02:44:34.495180",
            "subject": "921sb69d87", "topic": "921tekj4jm",
        })
    );
    assert!(call.is_known_format());
    assert!(!call.is_complete(), "its states have no versions");
}

#[test]
fn packed_and_plain_data_are_the_same_job() {
    let packed = PersistCall::from_data(JOB_ID, &fixture("rq_job_data_zlib.bin"), None);
    let plain = PersistCall::from_data(JOB_ID, &fixture("rq_job_data_pickle_raw.bin"), None);
    assert!(packed.is_some());
    assert_eq!(packed, plain);
}

#[test]
fn jobs_that_another_program_made_and_frappe_ran_are_understood() {
    for name in ["rq_job_handmade_zlib.json", "rq_job_handmade_plain.json"] {
        let captured: Value = serde_json::from_slice(&fixture(name)).unwrap();
        let call = PersistCall::from_hash("id", &hash(&captured["hash"])).unwrap();
        assert_eq!(call.user.as_str(), "stu000@lab.test", "{name}");
    }
}

proptest! {
    #[test]
    fn a_captured_job_with_any_byte_changed_harms_nobody(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for name in ["rq_job_data_zlib.bin", "rq_job_data_pickle_raw.bin"] {
            let mut data = fixture(name);
            let at = at.index(data.len());
            data[at] = byte;
            if let Some(call) = PersistCall::from_data(JOB_ID, &data, None) {
                prop_assert!(call.submission().is_err());
            }
            let _ = PersistCall::from_data(JOB_ID, &data[..at], None);
        }
    }
}
