//! Of applying: the job, the journal's payload, and the statement for the table.

use memora_core::queue::{PersistCall, encode_data, persistence_job_id};
use memora_core::services::guard;
use memora_core::site_time::SiteZone;
use memora_core::store::apply::Context;

use super::data::{NOW, submission};
use super::{Case, calls};

const SITE: &str = "srs.localhost";
/// Submits of one transaction: 500 rows, one statement.
const SUBMITS: usize = 25;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("job_decode", job_decode),
        Case::new("journal_payload", journal_payload),
        Case::new("upsert_of_500", upsert_of_500),
    ]
}

fn job_decode() -> Box<dyn FnMut()> {
    let submission = submission(0);
    let id = persistence_job_id(SITE, 1, &submission.key.player, &submission.key.submission);
    let data = encode_data(SITE, &id, &submission).expect("a job");
    calls(move || {
        let call = PersistCall::from_data(&id, &data, None).expect("a call");
        call.submission().expect("a batch")
    })
}

fn journal_payload() -> Box<dyn FnMut()> {
    let payload = serde_json::to_vec(&submission(0).batch).expect("a payload");
    calls(move || guard::journal_payload(&payload).expect("a batch"))
}

fn upsert_of_500() -> Box<dyn FnMut()> {
    let rows: Vec<_> = (0..SUBMITS).map(submission).collect();
    let context = Context {
        zone: SiteZone::from_setting(Some("Europe/Berlin")),
        now: NOW,
        worker: "guard",
        tries: 1,
        review_log: true,
    };
    calls(move || guard::upsert(&rows, &context))
}
