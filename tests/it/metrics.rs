//! `/metrics`, as Prometheus reads it from a sidecar that is a process of its own.

use memora_core::services::reconcile;
use memora_core::types::UtcMicros;
use memora_tests::process::Process;
use memora_tests::programs::Start;
use memora_tests::programs::Worker;
use memora_tests::servers::MariaDbOptions;
use memora_tests::{Due, Http, Sidecar, TestSite, wait};
use serde_json::json;

use crate::story::{ANN, SEASON, answers, warm};

mod port;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";
const SUBMIT: &str = "/api/method/memora.api.reviews.submit_review_session";

/// What Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// The line that a sidecar says its address in.
const SAYS: &str = "metrics on http://";

pub(crate) async fn start(test: &TestSite) -> (Sidecar, Http) {
    start_with(test, Start::default()).await
}

pub(crate) async fn start_with(test: &TestSite, start: Start) -> (Sidecar, Http) {
    let start = start.args(&["--metrics-bind", "127.0.0.1:0"]);
    let sidecar = Sidecar::start_with(test, &start).await.unwrap();
    let metrics = metrics_of(&sidecar.process, test).await;
    (sidecar, metrics)
}

pub(crate) async fn start_worker(test: &TestSite, start: Start) -> (Worker, Http) {
    let start = start.args(&["--metrics-bind", "127.0.0.1:0"]);
    let worker = Worker::start_with(test, &start).unwrap();
    let metrics = metrics_of(&worker.process, test).await;
    (worker, metrics)
}

async fn metrics_of(process: &Process, test: &TestSite) -> Http {
    let address = wait::until("the process says where its metrics are", async || {
        let log = process.log();
        let (_, rest) = log.split_once(SAYS)?;
        let (address, _) = rest.split_once("/metrics\n")?;
        address.parse().ok()
    })
    .await;
    Http::new(address, &test.name)
}

pub(crate) async fn scrape(metrics: &Http) -> String {
    let asked = metrics.get("/metrics").header("accept", OPEN_METRICS);
    let answer = asked.send().await;
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
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
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

#[tokio::test]
async fn every_part_has_its_numbers() {
    let test = TestSite::builder().own_cache().build().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    test.add_questions(ANN, SEASON, 7, Due::All).await;
    let slow = Start::default().args(&["--slow-request", "0"]);
    let (sidecar, metrics) = start_with(&test, slow).await;
    let http = sidecar.http(&test);
    for _ in 0..3 {
        assert_eq!(http.get(READ).cookie(&ann).send().await.status, 200);
    }
    assert_eq!(http.get("/elsewhere").send().await.status, 421);
    let site = test.site().await;
    warm(&site).await;
    let report = reconcile::reconcile(&site, &crate::reconcile::full(), &|_| {}).await;
    assert_eq!(report.unwrap().compared, 7);

    let text = scrape(&metrics).await;
    let of = |name: &str, labels: &str| {
        let labels = format!("site=\"{}\"{labels}", test.name);
        value(&text, &format!("{name}{{{labels}}}")).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let read = "operation=\"memora.api.reviews.get_review_session\"";
    let slow = value(&text, &format!("http_slow_requests_total{{{read}}}"));
    assert_eq!(slow, Some(3.0), "{text}");
    let declined = value(&text, "http_declined_total{reason=\"path\"}");
    assert_eq!(declined, Some(1.0), "{text}");
    let lookups = |outcome: &str| {
        let labels = format!("what=\"session\",outcome=\"{outcome}\"");
        value(&text, &format!("login_lookups_total{{{labels}}}"))
    };
    assert_eq!(
        (lookups("miss"), lookups("hit")),
        (Some(1.0), Some(2.0)),
        "{text}"
    );
    assert_eq!(value(&text, "panics_total"), Some(0.0), "{text}");

    for (state, is) in [("closed", 1.0), ("open", 0.0), ("back", 0.0)] {
        let labels = format!(",redis=\"cache\",state=\"{state}\"");
        assert_eq!(of("breaker_state", &labels), is, "{state}: {text}");
    }
    for redis in [",redis=\"cache\"", ",redis=\"queue\""] {
        let used = of("redis_memory_used_bytes", redis);
        assert!(used > 100_000.0, "{text}");
        assert!(of("redis_memory_limit_bytes", redis) > used, "{text}");
        assert_eq!(of("redis_evicted_keys_total", redis), 0.0, "{text}");
    }
    assert_eq!(of("mariadb_connections_max", ""), 32.0, "{text}");
    let open =
        of("mariadb_connections", ",state=\"used\"") + of("mariadb_connections", ",state=\"idle\"");
    assert!((1.0..=32.0).contains(&open), "{text}");
    assert_eq!(of("mariadb_connections_waited_for", ""), 0.0, "{text}");
    for work in ["archive", "rebuild", "reconcile"] {
        for state in ["running", "stopped", "failed"] {
            let labels = format!(",work=\"{work}\",state=\"{state}\"");
            assert_eq!(of("work_runs", &labels), 0.0, "{text}");
        }
    }
    assert_eq!(of("reconciliation_compared_items", ""), 7.0, "{text}");
    assert_eq!(of("reconciliation_discrepancies", ""), 0.0, "{text}");
    assert_eq!(of("reconciliation_discrepancy_ratio", ""), 0.0, "{text}");
    let started = of("reconciliation_started_timestamp_seconds", "");
    let ago = UtcMicros::now().0 as f64 / 1e6 - started;
    assert!((0.0..300.0).contains(&ago), "{ago}");
}

#[tokio::test]
async fn a_worker_tells_how_long_submits_take_into_the_table() {
    let ours = TestSite::builder().config("srs_queue", json!("srs_write"));
    let test = ours.own_queue().build().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let sidecar = Sidecar::start(&test).await;
    let http = sidecar.http(&test);
    let submit = async |question: &str| {
        let body = json!({"responses": answers(&[question])});
        let submit = http.post(SUBMIT).cookie(&ann).json(&body).send().await;
        assert_eq!(submit.status, 200, "{}", submit.text());
    };
    let of_site = |name: &str| format!("{name}{{site=\"{}\"}}", test.name);
    submit("q1").await;
    {
        let panics = Start::default().failpoint("apply_upserted", "panic");
        let (_worker, metrics) = start_worker(&test, panics).await;
        let failures = of_site("persistence_failures_total");
        let text = wait::until("a submit fails", async || {
            let text = scrape(&metrics).await;
            (value(&text, &failures) >= Some(1.0)).then_some(text)
        })
        .await;
        assert!(value(&text, "panics_total") >= Some(1.0), "{text}");
        let count = of_site("persistence_latency_seconds_count");
        assert_eq!(value(&text, &count), Some(0.0), "{text}");
    }
    submit("q2").await;
    let (_worker, metrics) = start_worker(&test, Start::default()).await;
    let count = of_site("persistence_latency_seconds_count");
    let text = wait::until("the other is applied", async || {
        let text = scrape(&metrics).await;
        (value(&text, &count) >= Some(1.0)).then_some(text)
    })
    .await;
    let sum = value(&text, &of_site("persistence_latency_seconds_sum"));
    assert!(sum.is_some_and(|sum| (0.0..600.0).contains(&sum)), "{text}");
}
