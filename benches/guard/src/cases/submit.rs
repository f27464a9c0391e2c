//! Of a submit: its body, the scheduling, the journal's row and the job.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use memora_core::config::SrsConfig;
use memora_core::queue::{encode_data, persistence_job_id};
use memora_core::scheduling::{Answer, Before, Parameters, schedule};
use memora_core::services::guard;
use memora_core::services::submit::SubmitRequest;
use memora_core::site_time::SiteZone;
use memora_core::types::{Stability, UtcMicros};

use super::data::{NOW, PAGE, answers, states, submission};
use super::{Case, calls};

const SITE: &str = "srs.localhost";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("submit_arguments", submit_arguments),
        Case::new("schedule_answer", schedule_answer),
        Case::new("schedule_batch", schedule_batch),
        Case::new("states_after_batch", states_after_batch),
        Case::new("journal_row", journal_row),
        Case::new("job_encode", job_encode),
        Case::new("job_id", job_id),
    ]
}

/// From the body to the answers, with the fingerprint.
fn submit_arguments() -> Box<dyn FnMut()> {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let body = Bytes::from(answers().to_string());
    calls(move || {
        let args = memora_sidecar::guard::arguments(&headers, None, body.clone());
        let args = args.now_or_never().flatten().expect("arguments");
        let request = SubmitRequest::from_args(&args, None, Some("0123456789abcdef"));
        let request = request.expect("a request");
        let fingerprint = request.fingerprint();
        (request, fingerprint)
    })
}

fn question(n: u32) -> (Option<Before>, Answer) {
    let before = (!n.is_multiple_of(7)).then(|| Before {
        stability: Stability::from_f64(f64::from(n % 9) / 2.0),
        due: NOW.plus_seconds(-i64::from(n) * 3_600),
        last_review: (!n.is_multiple_of(5)).then(|| NOW.plus_seconds(-i64::from(n) * 20_000)),
    });
    let answer = Answer {
        quality: (n % 6) as u8,
        response_time_ms: (!n.is_multiple_of(4)).then_some(n * 300),
    };
    (before, answer)
}

fn schedule_answer() -> Box<dyn FnMut()> {
    let parameters = Parameters::default();
    let (before, answer) = question(8);
    calls(move || schedule(before, answer, NOW, &parameters))
}

/// Each due time settled in the site's zone.
fn schedule_batch() -> Box<dyn FnMut()> {
    let parameters = Parameters::default();
    let zone = SiteZone::from_setting(Some("Europe/Berlin"));
    let questions: Vec<_> = (0..PAGE as u32).map(question).collect();
    calls(move || {
        let due = |&(before, answer): &(Option<Before>, Answer)| {
            zone.settle(schedule(before, answer, NOW, &parameters).due)
                .0
        };
        UtcMicros(questions.iter().map(due).fold(0, i64::wrapping_add))
    })
}

fn states_after_batch() -> Box<dyn FnMut()> {
    let srs = SrsConfig::default();
    let zone = SiteZone::from_setting(Some("Europe/Berlin"));
    let before = states(PAGE);
    let serde_json::Value::Object(args) = answers() else {
        panic!("no arguments");
    };
    let request = SubmitRequest::from_args(&args, None, Some("a")).expect("a request");
    calls(move || guard::answers(&srs, &before, &request.responses, zone, NOW))
}

fn journal_row() -> Box<dyn FnMut()> {
    let submission = submission(0);
    calls(move || guard::journal_row(&submission).expect("a row"))
}

fn job_encode() -> Box<dyn FnMut()> {
    let submission = submission(0);
    let id = persistence_job_id(SITE, 1, &submission.key.player, &submission.key.submission);
    calls(move || encode_data(SITE, &id, &submission).expect("a job"))
}

fn job_id() -> Box<dyn FnMut()> {
    let key = submission(0).key;
    calls(move || persistence_job_id(SITE, 1, &key.player, &key.submission))
}
