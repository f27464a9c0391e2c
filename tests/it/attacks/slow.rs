//! Clients that take their time, to keep a connection that others wait for. Each of these
//! servers has one connection: while it is kept, nobody else is served.

use std::time::Duration;

use memora_sidecar::server::Options;
use memora_tests::Http;
use memora_tests::wait::PATIENCE;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::bad_input::{READ, SUBMIT, Stage};

/// Long beside the pause between two bytes, short beside a test's patience.
const TIME: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(20);

async fn stage() -> Stage {
    let options = Options {
        max_connections: 1,
        head_timeout: TIME,
        body_timeout: TIME,
        send_timeout: TIME,
        ..Options::default()
    };
    Stage::with_options(options).await
}

/// Somebody else is served, on a connection of their own.
async fn others_are_served(stage: &Stage) {
    let http = Http::new(stage.served.address, &stage.site.name);
    let answer = timeout(PATIENCE, http.get("/healthz").send()).await;
    assert_eq!(answer.expect("no place for others").status, 200);
}

/// Sends `begun`, and then a byte now and then for as long as the server takes them.
fn drip(stage: &Stage, begun: String) -> tokio::task::JoinHandle<()> {
    let address = stage.served.address;
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream
            .write_all(begun.as_bytes())
            .await
            .expect("a beginning");
        while stream.write_all(b"x").await.is_ok() {
            sleep(PAUSE).await;
        }
    })
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let stage = stage().await;
    let head = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\nX: ", stage.site.name);
    let dripping = drip(&stage, head);
    others_are_served(&stage).await;
    timeout(PATIENCE, dripping).await.expect("cut off").unwrap();
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let stage = stage().await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let head = format!(
            "POST {SUBMIT} HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n",
            stage.site.name
        );
        let dripping = drip(&stage, head);
        others_are_served(&stage).await;
        timeout(PATIENCE, dripping).await.expect("cut off").unwrap();
    }
}

/// Asks and asks, and takes no answer: what the server sends stays in its buffers.
#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut_off() {
    let stage = stage().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let mut deaf = socket.connect(stage.served.address).await.unwrap();
    // The answer names the site that there is not: it is as long as the question.
    let host = "x".repeat(8000);
    let request = format!("GET {READ} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let asking = tokio::spawn(async move {
        while deaf.write_all(request.as_bytes()).await.is_ok() {}
        deaf
    });
    let cut_off = timeout(PATIENCE, asking).await;
    let deaf = cut_off.expect("the server kept the connection").unwrap();
    others_are_served(&stage).await;
    drop(deaf);
}
