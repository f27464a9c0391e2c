//! `/metrics`, as Prometheus reads it from a sidecar that is a process of its own.

use memora_tests::programs::Start;
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Due, Http, Sidecar, TestSite, wait};
use serde_json::json;

use crate::story::{ANN, SEASON, answers};

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// The line that a sidecar says its address in.
const SAYS: &str = "metrics on http://";

async fn start(test: &TestSite) -> (Sidecar, Http) {
    let start = Start::default().args(&["--metrics-bind", "127.0.0.1:0"]);
    let sidecar = Sidecar::start_with(test, &start).await.unwrap();
    let address = wait::until("the sidecar says where its metrics are", async || {
        let log = sidecar.process.log();
        let (_, rest) = log.split_once(SAYS)?;
        let (address, _) = rest.split_once("/metrics\n")?;
        address.parse().ok()
    })
    .await;
    let metrics = Http::new(address, &test.name);
    (sidecar, metrics)
}

async fn scrape(metrics: &Http) -> String {
    let answer = metrics.get("/metrics").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let content_type = answer.header("content-type").to_owned();
    assert!(
        content_type.starts_with("application/openmetrics-text; version=1.0.0"),
        "{content_type}"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The value of a series, named with its labels as it is written.
fn value(text: &str, series: &str) -> Option<f64> {
    let series = format!("memora_srs_{series} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series))?;
    line.parse().ok()
}

#[tokio::test]
async fn requests_are_counted_by_what_was_asked_and_its_status() {
    let test = TestSite::builder().build().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 3, Due::All).await;
    let (sidecar, metrics) = start(&test).await;
    let http = sidecar.http(&test);
    for _ in 0..3 {
        assert_eq!(http.get(READ).cookie(&ann).send().await.status, 200);
    }
    assert_eq!(http.get(READ).send().await.status, 403);
    // Whatever a client makes up is no series of its own.
    for n in 0..20 {
        let path = format!("/made-up/{n}");
        assert_eq!(http.get(&path).send().await.status, 421);
    }
    let text = scrape(&metrics).await;
    let read = "memora.api.reviews.get_review_session";
    let count = |operation: &str, status: u16| {
        let labels = format!("operation=\"{operation}\",status=\"{status}\"");
        value(&text, &format!("http_requests_total{{{labels}}}"))
    };
    assert_eq!(count(read, 200), Some(3.0), "{text}");
    assert_eq!(count(read, 403), Some(1.0), "{text}");
    assert_eq!(count("-", 421), Some(20.0), "{text}");
    let seconds = |part: &str| {
        let name = format!("http_request_duration_seconds_{part}");
        value(&text, &format!("{name}{{operation=\"{read}\"}}"))
    };
    assert_eq!(seconds("count"), Some(4.0), "{text}");
    assert!(seconds("sum").is_some_and(|sum| sum > 0.0), "{text}");
    assert_eq!(value(&text, "http_requests_in_flight"), Some(0.0), "{text}");
    for private in [ANN, SEASON, "made-up"] {
        assert!(!text.contains(private), "{private}: {text}");
    }
}

#[tokio::test]
async fn they_are_on_no_address_that_students_reach() {
    let test = TestSite::builder().build().await;
    let (sidecar, metrics) = start(&test).await;
    let answer = sidecar.http(&test).get("/metrics").send().await;
    assert_eq!(answer.status, 421, "{}", answer.text());
    assert_eq!(metrics.get("/").send().await.status, 404);
    assert_eq!(metrics.get(READ).send().await.status, 404);
    assert_eq!(metrics.post("/metrics").send().await.status, 405);
}

#[tokio::test]
async fn an_outage_of_the_cache_shows() {
    let test = TestSite::builder()
        .own_cache()
        .own_mariadb_with(MariaDbOptions::default())
        .config("srs_safe_mode_global_limit", json!(2))
        .build()
        .await;
    test.add_season(SEASON).await;
    let mut students = Vec::new();
    for n in 0..4 {
        students.push(test.add_student(&format!("student{n}@example.com")).await);
    }
    let (sidecar, metrics) = start(&test).await;
    let http = sidecar.http(&test);
    assert_eq!(http.get(READ).cookie(&students[0]).send().await.status, 200);
    let active = format!("safe_mode_active{{site=\"{}\"}}", test.name);
    let before = scrape(&metrics).await;
    assert_eq!(value(&before, &active), Some(0.0), "{before}");

    test.cache.server.kill();
    let mut statuses = Vec::new();
    for student in &students {
        statuses.push(http.get(READ).cookie(student).send().await.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429]);
    let reads = |text: &str, outcome: &str| {
        let labels = format!("site=\"{}\",outcome=\"{outcome}\"", test.name);
        value(text, &format!("safe_mode_reads_total{{{labels}}}"))
    };
    let text = scrape(&metrics).await;
    assert_eq!(value(&text, &active), Some(1.0), "{text}");
    assert_eq!(reads(&text, "degraded"), Some(2.0), "{text}");
    assert_eq!(reads(&text, "limited"), Some(2.0), "{text}");
    // Short ones are none; who looks after the site notes it without a read.
    let outages = format!("safe_mode_outages_total{{site=\"{}\"}}", test.name);
    wait::until("the outage is counted", async || {
        let text = scrape(&metrics).await;
        (value(&text, &outages) == Some(1.0)).then_some(())
    })
    .await;

    test.cache.server.start_again().await;
    wait::until("the outage is over", async || {
        let text = scrape(&metrics).await;
        (value(&text, &active) == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_and_who_does_not_answer_shows() {
    let test = TestSite::builder()
        .own_queue()
        .own_mariadb_with(MariaDbOptions::default())
        .build()
        .await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let (sidecar, metrics) = start(&test).await;
    let http = sidecar.http(&test);
    let of_site = |name: &str| format!("{name}{{site=\"{}\"}}", test.name);
    for n in 0..2 {
        let body = json!({"responses": answers(&[&format!("q{n}")])});
        let submit = http.post(SUBMIT).cookie(&ann).json(&body).send().await;
        assert_eq!(submit.status, 200, "{}", submit.text());
    }
    let text = scrape(&metrics).await;
    assert_eq!(value(&text, &of_site("queue_jobs")), Some(2.0), "{text}");
    let pending = of_site("journal_pending_rows");
    assert_eq!(value(&text, &pending), Some(2.0), "{text}");
    let oldest = of_site("journal_oldest_pending_seconds");
    assert!(value(&text, &oldest).is_some_and(|s| s > 0.0), "{text}");

    test.exec(
        "UPDATE memora_srs_journal SET state = 'failed', next_try_at = '9999-12-31' \
         ORDER BY created_at LIMIT 1",
        (),
    )
    .await;
    let text = scrape(&metrics).await;
    let failed = of_site("journal_failed_rows");
    assert_eq!(value(&text, &failed), Some(1.0), "{text}");
    assert_eq!(value(&text, &pending), Some(1.0), "{text}");

    let unreachable =
        |server: &str| format!("unreachable{{site=\"{}\",server=\"{server}\"}}", test.name);
    for server in ["queue", "mariadb"] {
        assert_eq!(value(&text, &unreachable(server)), Some(0.0), "{text}");
    }
    test.queue.server.kill();
    test.mariadb.kill();
    let text = scrape(&metrics).await;
    for server in ["queue", "mariadb"] {
        assert_eq!(value(&text, &unreachable(server)), Some(1.0), "{text}");
    }
    // What is not known is not said.
    for name in ["queue_jobs", "journal_pending_rows", "journal_failed_rows"] {
        assert_eq!(value(&text, &of_site(name)), None, "{text}");
    }
}
