//! Requests that are malformed, too large, or never end.

use super::*;

#[tokio::test]
async fn malformed_json() {
    let stage = Stage::new().await;
    for body in [
        "{",
        "{\"responses\": [",
        "{'responses': []}",
        "\u{feff}{}",
        "\0",
    ] {
        for path in [READ, SUBMIT] {
            let answer = stage
                .http
                .post(path)
                .token(&stage.student)
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
            assert_eq!(
                answer.json(),
                json!({"exc_type": "JSONDecodeError"}),
                "{body}"
            );
        }
    }
    for body in ["5", "null", "\"x\""] {
        let answer = stage
            .post()
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        invalid(&answer, "Invalid request arguments");
    }
    // Deeper than this parser goes, not deeper than Python's: Frappe may try.
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let answer = stage
        .post()
        .header("content-type", "application/json")
        .body(deep)
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    stage.unharmed().await;
}

#[tokio::test]
async fn wrong_content_type() {
    let stage = Stage::new().await;
    let body = json!({"responses": [{"question_id": QUESTION, "quality": 4}]}).to_string();
    for content_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let answer = stage
            .post()
            .header("content-type", content_type)
            .body(body.clone())
            .send()
            .await;
        // As in Frappe, such a body holds no arguments.
        invalid(&answer, "responses is missing");
    }
    let answer = stage
        .post()
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(body)
        .send()
        .await;
    assert_eq!(answer.header("x-memora-decline"), "multipart");
    stage.unharmed().await;
}

#[tokio::test]
async fn oversized_bodies() {
    let stage = Stage::new().await;
    let body = "x".repeat(1024 * 1024 + 1);
    for content_type in ["application/json", "text/plain"] {
        let answer = stage
            .post()
            .header("content-type", content_type)
            .body(body.clone())
            .send()
            .await;
        let message = "The request's body exceeds 1048576 bytes";
        refused(&answer, 413, "RequestEntityTooLarge", message);
    }
    // Announced as chunks, so that only reading shows how long it is.
    let head = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/json\r\n\r\n",
        stage.site.name
    );
    let mut request = head.into_bytes();
    for _ in 0..18 {
        request.extend_from_slice(b"10000\r\n");
        request.resize(request.len() + 0x10000, b' ');
        request.extend_from_slice(b"\r\n");
    }
    let answer = stage
        .http
        .raw(&request, Duration::from_secs(5))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 413 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stage.unharmed().await;
}

/// More than the buffers between two sockets hold: if the server answers and closes
/// without reading, nginx fails to send and takes it for broken.
#[tokio::test]
async fn who_sends_an_unwanted_body_still_gets_the_answer() {
    let stage = Stage::new().await;
    let host = &stage.site.name;
    let body = vec![b'x'; 16 * 1024 * 1024];
    for (path, head, status) in [
        (SUBMIT, "", "413"),
        (SUBMIT, "X-Frappe-Site-Name: nowhere\r\n", "404"),
        ("/api/method/memora.api.reviews.else", "", "421"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             {head}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        let answer = stage.raw_whole(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // Who asks first is spared the sending.
    let head = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    let answer = stage.raw_whole(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    stage.unharmed().await;
}

#[tokio::test]
async fn oversized_headers_and_urls() {
    let stage = Stage::new().await;
    let answer = stage
        .read()
        .header("x-filler", "x".repeat(40_000))
        .send()
        .await;
    let message = "The request's headers exceed 32768 bytes";
    refused(&answer, 431, "RequestHeaderFieldsTooLarge", message);
    let answer = stage
        .read()
        .query(&[("season", &"x".repeat(9000))])
        .send()
        .await;
    let message = "The request's URL exceeds 8192 bytes";
    refused(&answer, 414, "RequestURITooLarge", message);

    // Beyond what is read at all, the answer is bare.
    let mut many = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\n", stage.site.name);
    for i in 0..200 {
        many.push_str(&format!("X-{i}: x\r\n"));
    }
    let huge = format!("GET {READ} HTTP/1.1\r\nX: {}", "x".repeat(600_000));
    for request in [many + "\r\n", huge] {
        let answer = stage
            .http
            .raw(request.as_bytes(), Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            answer.starts_with(b"HTTP/1.1 431 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn what_is_not_http() {
    let stage = Stage::new().await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"HELO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = stage
            .http
            .raw(request, Duration::from_secs(5))
            .await
            .unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    stage.unharmed().await;
}

#[tokio::test]
async fn a_body_that_never_comes() {
    let options = Options {
        body_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let request = format!(
        "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n{{",
        stage.site.name
    );
    let answer = stage
        .http
        .raw(request.as_bytes(), Duration::from_secs(5))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stage.unharmed().await;
}

#[tokio::test]
async fn headers_that_never_end() {
    let options = Options {
        head_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let begun = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\n", stage.site.name);
    // Returns when the server closes, long before a quiet minute.
    let quiet = Duration::from_secs(60);
    let patience = Duration::from_secs(20);
    let closed = tokio::time::timeout(patience, stage.http.raw(begun.as_bytes(), quiet)).await;
    assert!(closed.is_ok(), "the connection stayed open");
    stage.unharmed().await;
}
