//! Requests that two servers in a row might read differently.

use std::time::Duration;

use memora_tests::wait::PATIENCE;
use serde_json::json;
use tokio::time::timeout;

use crate::bad_input::{QUESTION, READ, SUBMIT, Stage};
use crate::served::Served;

/// What comes for these bytes until the server closes the connection, which it must.
async fn all(stage: &Stage, request: &str) -> String {
    let answer = stage.http.raw(request.as_bytes(), Duration::from_secs(600));
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.unwrap_or_else(|_| panic!("the connection stayed open: {request}"));
    String::from_utf8_lossy(&answer.unwrap()).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|line| line.split(' ').next()).collect()
}

/// A whole submit that would count.
fn submit(stage: &Stage) -> String {
    let body = format!(r#"{{"responses": [{{"question_id": "{QUESTION}", "quality": 5}}]}}"#);
    format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        stage.site.name,
        stage.student.token(),
        body.len()
    )
}

/// A submit in the body of a request whose end is unclear is never carried out.
#[tokio::test]
async fn a_request_within_a_request_is_not_carried_out() {
    let stage = Stage::new().await;
    let hidden = submit(&stage);
    let behind_no_chunks = format!("0\r\n\r\n{hidden}");
    let length = behind_no_chunks.len();
    let chunked = "Transfer-Encoding: chunked";
    let all_of_it = format!("Content-Length: {length}");
    for framing in [
        // Two ways to say it.
        format!("{all_of_it}\r\n{chunked}"),
        format!("{chunked}\r\n{all_of_it}"),
        format!("{chunked}\r\nContent-Length: 0"),
        // Two lengths.
        format!("{all_of_it}\r\nContent-Length: 0"),
        format!("Content-Length: 0\r\n{all_of_it}"),
        format!("Content-Length: 0, {length}"),
        // What some take for a length.
        format!("Content-Length: +{length}"),
        format!("Content-Length: -{length}"),
        format!("Content-Length: 0x{length:x}"),
        format!("Content-Length: {length}.0"),
        "Content-Length: 99999999999999999999".to_owned(),
        "Content-Length: 18446744073709551617".to_owned(),
        // What some take for chunks.
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        format!("{chunked}\r\nTransfer-Encoding: identity"),
        format!("Transfer-Encoding: \u{b}chunked\r\n{all_of_it}"),
        format!("Transfer-Encoding : chunked\r\n{all_of_it}"),
        format!("X: x\r\n {chunked}\r\n{all_of_it}"),
        format!("Transfer-Encoding:\r\n chunked\r\n{all_of_it}"),
    ] {
        let request = format!(
            "POST {READ} HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n{behind_no_chunks}",
            stage.site.name
        );
        let answer = all(&stage, &request).await;
        let refused = [&["400"][..], &["403"], &[]];
        assert!(
            refused.contains(&&*statuses(&answer)),
            "{framing}: {answer}"
        );
    }
    // HTTP/1.0 has no chunks.
    let request = format!("POST {READ} HTTP/1.0\r\n{chunked}\r\n\r\n{behind_no_chunks}");
    assert!(!all(&stage, &request).await.contains(" 200 "));
    stage.unharmed().await;
    // It was a good one.
    assert_eq!(statuses(&all(&stage, &hidden).await), ["200"]);
}

/// Lengths of chunks that some read as another number.
#[tokio::test]
async fn a_chunk_of_unclear_length_ends_the_connection() {
    let stage = Stage::new().await;
    let hidden = submit(&stage);
    for chunks in [
        "0x0\r\n\r\n",
        "-1\r\n\r\n",
        "+0\r\n\r\n",
        "g\r\n\r\n",
        "\r\n\r\n",
        "10000000000000000\r\n\r\n",
        "fffffffffffffffffffff\r\n\r\n",
        "0_0\r\n\r\n",
        "0;\n\r\n\r\n",
        "0;a=\"\n\r\n\r\n",
        "1\r\nxx0\r\n\r\n",
        "1\nx\n0\n\n",
    ] {
        let request = format!(
            "POST {READ} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}",
            stage.site.name
        );
        let answer = all(&stage, &request).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{chunks:?}: {answer}");
    }
    stage.unharmed().await;
}

/// What comes behind the body is no header.
#[tokio::test]
async fn a_login_behind_the_body_is_none() {
    let stage = Stage::new().await;
    for trailer in [
        format!("Authorization: {}", stage.student.token()),
        format!("Cookie: {}", stage.student.cookie()),
    ] {
        let request = format!(
            "POST {READ} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
             Trailer: Authorization, Cookie\r\nConnection: close\r\n\r\n0\r\n{trailer}\r\n\r\n",
            stage.site.name
        );
        let answer = all(&stage, &request).await;
        assert_eq!(statuses(&answer), ["403"], "{answer}");
    }
    stage.unharmed().await;
}

/// Of two values one server takes the first, another the last, a third both.
#[tokio::test]
async fn a_header_that_decides_comes_once() {
    let stage = Stage::new().await;
    for (name, one, two) in [
        ("Host", stage.site.name.as_str(), "other.test"),
        ("X-Frappe-Site-Name", &stage.site.name, "other.test"),
        ("Cookie", &stage.student.cookie(), "sid=Guest"),
        ("Authorization", &stage.student.token(), "token x:y"),
        ("Content-Type", "application/json", "text/plain"),
        ("X-Frappe-CSRF-Token", "right", "wrong"),
        ("X-Forwarded-For", "10.0.0.1", "9.9.9.9"),
        ("Idempotency-Key", "one", "two"),
        ("X-Memora-Request-Id", "one", "two"),
    ] {
        for (one, two) in [(one, two), (two, one), (one, one)] {
            let host = match name {
                "Host" => String::new(),
                _ => format!("Host: {}\r\n", stage.site.name),
            };
            let request = format!(
                "POST {READ} HTTP/1.1\r\n{host}Connection: close\r\n\
                 {name}: {one}\r\nX-Other: x\r\n{name}: {two}\r\n\r\n"
            );
            let answer = all(&stage, &request).await;
            assert_eq!(statuses(&answer), ["421"], "{name}: {answer}");
            assert!(
                answer.contains("x-memora-decline: repeated-header"),
                "{answer}"
            );
        }
    }
    stage.unharmed().await;
}

/// Targets and hosts that name something else than a method of a site.
#[tokio::test]
async fn a_target_that_is_no_plain_path_is_not_served() {
    let stage = Stage::new().await;
    let site = stage.site.name.as_str();
    let token = stage.student.token();
    for (target, host) in [
        (format!("http://{site}{READ}"), site),
        (format!("http://{site}{READ}"), "other.test"),
        (format!("http://evil@{site}{READ}"), site),
        (format!("//{site}{READ}"), site),
        (format!("/x/..{READ}"), site),
        (format!("/%2e{READ}"), site),
        (format!("{READ}%00"), site),
        (format!("{READ};x"), site),
        (READ.replace('/', "\\"), site),
        (READ.to_owned(), ""),
        (READ.to_owned(), "../sites"),
        (READ.to_owned(), &format!("./{site}")),
        (READ.to_owned(), &format!("{site}/.")),
        (READ.to_owned(), &format!("{site}%00")),
        (READ.to_owned(), &format!("{site}, {site}")),
        (READ.to_owned(), "."),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = all(&stage, &request).await;
        let refused = [&["400"][..], &["404"], &["421"], &[]];
        assert!(
            refused.contains(&&*statuses(&answer)),
            "{target} {host}: {answer}"
        );
    }
    stage.unharmed().await;
}

/// The web server in front may send a POST that has been done once more, to another process:
/// it names every request.
#[tokio::test]
async fn a_request_that_comes_again_has_one_effect() {
    let stage = Stage::new().await;
    let other = Served::start(&stage.site).await;
    let other = other.http(&stage.site);
    let body = json!({"responses": [{"question_id": QUESTION, "quality": 5}]});
    let mut jobs = Vec::new();
    for http in [&stage.http, &other, &other] {
        let call = http.post(SUBMIT).token(&stage.student).json(&body);
        let answer = call.header("x-memora-request-id", "0123456789abcdef");
        jobs.push(answer.send().await.message()["persistence_job_id"].clone());
    }
    assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
    let sql = "SELECT COUNT(*) FROM memora_srs_journal";
    assert_eq!(stage.site.query_one(sql, ()).await, Some(1_u64));
}
