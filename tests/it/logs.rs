//! What the sidecar logs: every line of a request with its id, one line for a failure, and
//! nothing that a client or a secret could have written there.

use memora_tests::programs::Start;
use memora_tests::{Http, Sidecar, TestSite, wait};
use serde_json::Value;

use crate::story::{ANN, SEASON};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const ID: &str = "X-Memora-Request-Id";
const FRAPPES_ID: &str = "X-Frappe-Request-Id";

async fn start(test: &TestSite, start: Start) -> (Sidecar, Http) {
    let start = start.args(&["--log-format", "json"]);
    let sidecar = Sidecar::start_with(test, &start).await.unwrap();
    let http = sidecar.http(test);
    (sidecar, http)
}

/// Lines of the log, those of JSON: the program also says where it listens.
fn lines(sidecar: &Sidecar) -> Vec<Value> {
    let log = sidecar.process.log();
    let json = log.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The lines of a request, once it is answered.
async fn lines_of(sidecar: &Sidecar, id: &str) -> Vec<Value> {
    wait::until(&format!("{id} is answered"), async || {
        let mut lines = lines(sidecar);
        lines.retain(|line| line["span"]["request_id"] == id);
        let last = lines.last()?["fields"]["message"].as_str()?;
        ["request answered", "slow request"]
            .contains(&last)
            .then_some(lines)
    })
    .await
}

fn messages(lines: &[Value]) -> Vec<(&str, &str)> {
    let text = |value: &'_ Value| -> &'static str {
        // Few and short: tests may leak.
        Box::leak(value.as_str().unwrap().to_owned().into_boxed_str())
    };
    lines
        .iter()
        .map(|line| (text(&line["level"]), text(&line["fields"]["message"])))
        .collect()
}

#[tokio::test]
async fn each_line_of_a_request_has_its_id_and_a_failure_is_one_line() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let failing = Start::default().failpoint("before_service", "fail");
    let (sidecar, http) = start(&test, failing).await;
    let read = http.get(READ).cookie(&ann).header(ID, "failed-1");
    assert_eq!(read.send().await.status, 500);
    let lines = lines_of(&sidecar, "failed-1").await;
    assert_eq!(
        messages(&lines),
        [("ERROR", "request failed"), ("INFO", "request answered")]
    );
    for line in &lines {
        assert_eq!(line["span"]["site"], test.name.as_str(), "{line}");
    }
    let answered = &lines[1]["fields"];
    assert_eq!(answered["status"], 500);
    assert_eq!(
        answered["operation"],
        "memora.api.reviews.get_review_session"
    );
    assert!(answered["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0));

    // Frappe's monitor's id where the web server set none.
    let read = http.get(READ).header(FRAPPES_ID, "monitor-1");
    assert_eq!(read.send().await.status, 403);
    assert_eq!(messages(&lines_of(&sidecar, "monitor-1").await).len(), 1);

    let panicking = Start::default().failpoint("before_service", "panic");
    let (sidecar, http) = start(&test, panicking).await;
    let read = http.get(READ).cookie(&ann).header(ID, "panicked-1");
    assert_eq!(read.send().await.status, 500);
    let lines = lines_of(&sidecar, "panicked-1").await;
    assert_eq!(
        messages(&lines),
        [
            ("ERROR", "panicked"),
            ("ERROR", "request failed"),
            ("INFO", "request answered")
        ]
    );
    assert_eq!(lines[0]["fields"]["panic"], "failpoint before_service");
}

#[tokio::test]
async fn a_made_up_method_is_not_logged() {
    let test = TestSite::new().await;
    let (sidecar, http) = start(&test, Start::default()).await;
    let method = http::Method::from_bytes("FORGED".repeat(3000).as_bytes()).unwrap();
    let asked = http.request(method, READ).header(ID, "made-up");
    assert_eq!(asked.send().await.status, 421);
    let lines = lines_of(&sidecar, "made-up").await;
    assert_eq!(lines[0]["fields"]["method"], "other", "{lines:?}");
    assert!(!sidecar.process.log().contains("FORGED"));
    let asked = http.request(http::Method::PUT, READ).header(ID, "put");
    asked.send().await;
    assert_eq!(
        lines_of(&sidecar, "put").await[0]["fields"]["method"],
        "PUT"
    );
}

#[tokio::test]
async fn nothing_that_a_client_sends_gets_into_the_log() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let (sidecar, http) = start(&test, Start::default().args(&["--slow-request", "0"])).await;
    let forged = [
        "x\"} {\"level\":\"ERROR\",\"forged\":1",
        "forged request_id=1",
        "forg\u{e9} forged",
        "forged\ttab",
        "",
        &"forged".repeat(20),
    ];
    for id in forged {
        for name in [ID, FRAPPES_ID] {
            let path = format!("{READ}?forged=%0a%1b[31mforged&subject=forged");
            let read = http.get(&path).cookie(&ann).header(name, id);
            let answer = read.header("User-Agent", "forged").send().await;
            assert_ne!(answer.status, 500, "{}", answer.text());
        }
    }
    assert_eq!(http.get("/forged").send().await.status, 421);
    let read = http.get(READ).token(&ann).header(ID, "last-1").send().await;
    assert_eq!(read.status, 200);
    let last = lines_of(&sidecar, "last-1").await;
    assert_eq!(messages(&last), [("WARN", "slow request")]);
    let log = sidecar.process.log();
    assert!(!log.contains("forged"), "{log}");
    // Every request has an id all the same.
    let answered = |line: &&Value| line["fields"]["message"] == "slow request";
    let lines = lines(&sidecar);
    assert_eq!(lines.iter().filter(answered).count(), 2 * forged.len() + 2);
    for line in lines.iter().filter(answered) {
        let id = line["span"]["request_id"].as_str().unwrap();
        assert!(!id.is_empty() && id.len() <= 64, "{line}");
    }
    for secret in [
        ann.sid.as_str(),
        ann.api_secret.as_str(),
        &test.encryption_key,
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}
