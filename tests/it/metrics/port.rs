//! The monitoring port itself: in which format it answers, whom it leaves out, and who may
//! keep it from answering.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use memora_tests::process;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::*;

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

#[tokio::test]
async fn a_dropped_site_is_shown_no_more() {
    let test = TestSite::new().await;
    let other = TestSite::builder()
        .on_cache(test.cache.clone())
        .on_queue(test.queue.clone())
        .build()
        .await;
    let inside = test.sites_path.join(&other.name);
    std::fs::rename(other.sites_path.join(&other.name), &inside).unwrap();
    let (sidecar, metrics) = start(&test).await;
    let of_other = Http::new(sidecar.address, &other.name);
    for http in [&sidecar.http(&test), &of_other] {
        assert_eq!(http.get(READ).send().await.status, 403);
    }
    let label = format!("site=\"{}\"", other.name);
    assert!(scrape(&metrics).await.contains(&label));
    std::fs::rename(&inside, other.sites_path.join(&other.name)).unwrap();
    let text = wait::until("the dropped site's series are gone", async || {
        let text = scrape(&metrics).await;
        (!text.contains(&label)).then_some(text)
    })
    .await;
    assert!(text.contains(&format!("site=\"{}\"", test.name)), "{text}");

    // And if it comes back, it is shown again.
    std::fs::rename(other.sites_path.join(&other.name), &inside).unwrap();
    assert_eq!(of_other.get(READ).send().await.status, 403);
    assert!(scrape(&metrics).await.contains(&label));
}

/// A client that asks a hundred times and takes no answer.
async fn reads_nothing(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let asks = "GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n".repeat(100);
    stream.write_all(asks.as_bytes()).await.unwrap();
    stream
}

/// One that never comes to the end of its head.
async fn half_sends(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"GET /metrics HTTP/1.1\r\nHost: m";
    stream.write_all(head).await.unwrap();
    stream
}

#[tokio::test]
async fn nobody_keeps_others_from_being_answered() {
    let test = TestSite::new().await;
    let (_sidecar, metrics) = start(&test).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(reads_nothing(metrics.address()).await);
        held.push(half_sends(metrics.address()).await);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let fresh = Http::new(metrics.address(), &test.name);
        let answer = fresh.get(path).try_send();
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("{path}: no answer"))
            .unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn who_does_not_ask_for_openmetrics_gets_plain_text() {
    let test = TestSite::new().await;
    let (sidecar, metrics) = start(&test).await;
    assert_eq!(sidecar.http(&test).get(READ).send().await.status, 403);
    let get = async |accept: &str| {
        let answer = metrics
            .get("/metrics")
            .header("accept", accept)
            .send()
            .await;
        (answer.header("content-type").to_owned(), answer.text())
    };
    // As Prometheus asks.
    let (kind, text) = get("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1").await;
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(text.contains("# TYPE memora_srs_build info\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for accept in ["*/*", "text/plain", "application/openmetrics-text;q=0"] {
        assert_eq!(get(accept).await.0, PLAIN, "{accept}");
    }
    let (_, text) = get("text/plain;version=0.0.4").await;
    for gone in ["# EOF", "# UNIT", " info\n"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    for there in [
        "# TYPE memora_srs_build_info gauge\nmemora_srs_build_info{version=",
        "# TYPE memora_srs_http_requests_total counter\nmemora_srs_http_requests_total{",
        "# TYPE memora_srs_http_request_duration_seconds histogram\n",
        "# TYPE memora_srs_http_requests_in_flight gauge\nmemora_srs_http_requests_in_flight 0\n",
    ] {
        assert!(text.contains(there), "{there}: {text}");
    }
    let Ok(promtool) = process::find_program(&["promtool"], "prometheus") else {
        eprintln!("SKIPPED: no promtool; Debian's package prometheus has it");
        return;
    };
    let mut check = std::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let said = check.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success(), "{words}");
}

/// 5xx that Frappe gives, too, for what a client sends or an operator wants, are no failures.
#[tokio::test]
async fn failures_are_told_from_refusals() {
    let test = TestSite::new().await;
    test.add_season(SEASON).await;
    let ann = test.add_student(ANN).await;
    let failing = Start::default().failpoint("before_service", "fail");
    let (sidecar, metrics) = start_with(&test, failing).await;
    let http = sidecar.http(&test);
    let submit = "memora.api.reviews.submit_review_session";
    let failures = async |operation: &str| {
        let text = scrape(&metrics).await;
        let series = format!("http_failures_total{{operation=\"{operation}\"}}");
        value(&text, &series)
    };
    let read = "memora.api.reviews.get_review_session";
    assert_eq!(failures(read).await, Some(0.0));
    assert_eq!(http.get(READ).cookie(&ann).send().await.status, 500);
    assert_eq!(failures(read).await, Some(1.0));

    let malformed = http.post(SUBMIT).cookie(&ann);
    let malformed = malformed
        .header("content-type", "application/json")
        .body("{");
    assert_eq!(malformed.send().await.status, 500);
    test.set_config("maintenance_mode", json!(1));
    wait::until("maintenance begins", async || {
        let answer = http.get(READ).cookie(&ann).send().await;
        (answer.status == 503).then_some(())
    })
    .await;
    assert_eq!(http.post(SUBMIT).cookie(&ann).send().await.status, 503);
    assert_eq!(failures(submit).await, Some(0.0));
    let text = scrape(&metrics).await;
    for status in [500, 503] {
        let labels = format!("operation=\"{submit}\",status=\"{status}\"");
        let answers = value(&text, &format!("http_requests_total{{{labels}}}"));
        assert_eq!(answers, Some(1.0), "{text}");
    }
}
