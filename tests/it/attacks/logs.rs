//! Lines of the log that somebody else wrote.

use memora_tests::programs::Start;
use memora_tests::{Sidecar, TestSite};
use serde_json::{Value, json};

use crate::bad_input::{READ, SEASON, SUBMIT};

/// What follows the break would be a line of its own, on a terminal in red.
const FORGED: &str =
    "x\r\n2026-01-01T00:00:00Z ERROR \u{1b}[31mforged\u{1b}[0m\u{9b}31m\u{7}\0\u{2028}x";

/// Sends what goes into log lines, and returns the log of everything.
async fn log_of(format: &str) -> String {
    let site = TestSite::new().await;
    site.add_season(SEASON).await;
    let student = site.add_student("ann@lab.test").await;
    let start = Start::default().args(&["--log-level", "debug", "--log-format", format]);
    let sidecar = Sidecar::start_with(&site, &start).await.unwrap();
    let http = sidecar.http(&site);
    // What a name may have in it, and what MariaDB lets into one.
    let unknown = "x\u{2028}forged";
    let answer = http.get(READ).token(&student).query(&[("season", unknown)]);
    assert_eq!(answer.send().await.status, 404);
    let disabled = site.add_student(FORGED).await;
    let sql = "UPDATE tabUser SET enabled = 0 WHERE name = ?";
    site.exec(sql, (FORGED,)).await;
    let answer = http.get(READ).cookie(&disabled).send().await;
    assert_eq!(answer.status, 417, "{}", answer.text());
    for field in ["season", "subject", "limit"] {
        let call = http
            .post(READ)
            .token(&student)
            .json(&json!({field: FORGED}));
        assert!(!call.send().await.status.is_success(), "{field}");
    }
    let answer = json!({"question_id": FORGED, "quality": 5});
    for body in [
        json!({"responses": [answer]}),
        json!({"responses": FORGED}),
        json!({"responses": [], "submission_id": FORGED}),
        json!({"responses": [{FORGED: 1}]}),
    ] {
        let answer = http.post(SUBMIT).token(&student).json(&body).send().await;
        assert_eq!(answer.status, 417, "{}", answer.text());
    }
    // Of what HTTP lets into a header: C1 controls, in UTF-8.
    for header in [
        "x-memora-request-id",
        "idempotency-key",
        "x-frappe-site-name",
        "authorization",
        "cookie",
    ] {
        let call = http.get(READ).header(header, "token x:\u{9b}31mforged");
        assert!(!call.send().await.status.is_success(), "{header}");
    }
    let raw = format!(
        "GET {READ} HTTP/1.1\r\nHost: {}\r\nX-Memora-Request-Id: ",
        site.name
    );
    for id in ["\u{1b}[31mforged", "a\rforged", "a\0forged"] {
        let request = format!("{raw}{id}\r\nConnection: close\r\n\r\n");
        let quiet = std::time::Duration::from_secs(60);
        http.raw(request.as_bytes(), quiet).await.unwrap();
    }
    sidecar.process.stop(memora_tests::wait::PATIENCE).unwrap();
    sidecar.process.log()
}

#[tokio::test]
async fn nobody_writes_a_line_of_the_log() {
    let log = log_of("text").await;
    let (listening, log) = log.split_once('\n').unwrap();
    assert!(listening.starts_with("listening on "), "{listening}");
    let quoted = log.matches("forged").count();
    assert!(quoted >= 2, "nothing of it is logged: {log}");
    for line in log.split('\n') {
        let begins_with_a_date = line.get(..10).is_some_and(|d| d.split('-').count() == 3);
        assert!(line.is_empty() || begins_with_a_date, "{line:?}");
        assert!(!line.starts_with("2026-01-01"), "{line:?}");
        let control = line.chars().find(|c| c.is_control() || *c == '\u{2028}');
        assert_eq!(control, None, "{line:?}");
    }

    let log = log_of("json").await;
    for line in log.lines().skip(1) {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(entry["timestamp"].is_string(), "{line}");
        assert!(!line.contains(|c| c < ' '), "{line:?}");
    }
}
