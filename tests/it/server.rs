//! The server around the requests: connections, limits, panics, and stopping.

#![expect(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use memora_core::failpoint;
use memora_core::services::Sites;
use memora_sidecar::server::{self, Options};
use memora_tests::programs::{self, Start};
use memora_tests::wait::PATIENCE;
use memora_tests::{Http, Sidecar, Student, TestSite, scratch};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::served::Served;

const READ: &str = "/api/method/memora.api.reviews.get_review_session";

/// A site with a student and a sidecar.
struct Stage {
    site: TestSite,
    student: Student,
    http: Http,
    served: Served,
}

impl Stage {
    async fn new() -> Self {
        Self::with_options(Options::default()).await
    }

    async fn with_options(options: Options) -> Self {
        let site = TestSite::new().await;
        let student = site.add_student("student@lab.test").await;
        let served = Served::start_with(&site, options).await;
        Self {
            http: served.http(&site),
            site,
            student,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.served.address).await.unwrap()
    }
}

#[tokio::test]
async fn health_needs_no_site() {
    let stage = Stage::new().await;
    let nobody = Http::new(stage.served.address, "nobody");
    let answer = nobody.get("/healthz").send().await;
    assert_eq!(answer.message(), json!({"status": "ok"}));
}

#[tokio::test]
async fn a_panic_harms_no_other_request() {
    let stage = Stage::new().await;
    let panicking = failpoint::panic(&stage.site.name, "before_service");
    let answer = stage.http.get(READ).token(&stage.student).send().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json(), json!({"exc_type": "MemoraError"}));
    drop(panicking);
    // The same connection lives on.
    let answer = stage.http.get(READ).send().await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

/// Work that has begun ends though nobody waits for its answer.
#[tokio::test]
async fn a_client_that_hangs_up_interrupts_nothing() {
    let stage = Stage::new().await;
    let paused = failpoint::pause(&stage.site.name, "before_service");
    let request = format!(
        "GET {READ} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n",
        stage.site.name,
        stage.student.token()
    );
    let mut client = stage.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    paused.reached().await;
    drop(client);
    // Told to stop, the server still waits for the work.
    let mut server = stage.served.stop();
    let waits = tokio::time::timeout(Duration::from_millis(200), &mut server).await;
    assert!(waits.is_err(), "the server did not wait");
    paused.release();
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("the server stops once the work is done")
        .unwrap();
}

#[tokio::test]
async fn requests_share_a_connection() {
    let stage = Stage::new().await;
    let request = format!("GET {READ} HTTP/1.1\r\nHost: {}\r\n\r\n", stage.site.name);
    let mut stream = stage.connect().await;
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "}").await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(end) {
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    text
}

/// Told to stop, the server takes no more connections but answers what it has begun.
#[tokio::test]
async fn stopping_drains() {
    let stage = Stage::new().await;
    let address = stage.served.address;
    let mut begun = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {READ} HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n",
        stage.site.name
    );
    begun.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: the request is in its handler.
    read_until(&mut begun, "100 Continue\r\n\r\n").await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut idle, "}").await;

    let mut server = stage.served.stop();
    // An idle connection is closed at once.
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!server.is_finished());

    begun.write_all(b"{}").await.unwrap();
    let answer = read_until(&mut begun, "}").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), &mut server)
        .await
        .expect("the server stops once it has answered")
        .unwrap();
}

/// Whoever has connected by then is answered, though nobody has accepted the connection yet and
/// the request comes later: on a port that several listen to, what waits for one is lost with it.
#[tokio::test]
async fn who_waits_to_be_accepted_when_it_stops_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sites = Arc::new(Sites::new(scratch::new_dir("sites").unwrap()));
    let mut early = TcpStream::connect(address).await.unwrap();
    let mut late = TcpStream::connect(address).await.unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    early.write_all(ask).await.unwrap();
    // It stops before it accepts anything.
    let stopped = async {};
    let server = server::run(listener, sites, Options::default(), stopped);
    let asking = async {
        let first = read_until(&mut early, "}").await;
        late.write_all(ask).await.unwrap();
        [first, read_until(&mut late, "}").await]
    };
    let ((), answers) = tokio::join!(server, asking);
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let options = Options {
        drain: Duration::from_millis(200),
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let mut stuck = stage.connect().await;
    let head = format!(
        "POST {READ} HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        stage.site.name
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stuck, "100 Continue\r\n\r\n").await;
    tokio::time::timeout(Duration::from_secs(10), stage.served.stop())
        .await
        .expect("the server stops at its deadline")
        .unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let stage = Stage::with_options(options).await;
    let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = stage.connect().await;
    first.write_all(health).await.unwrap();
    read_until(&mut first, "}").await;
    let mut second = stage.connect().await;
    second.write_all(health).await.unwrap();
    // Not served while the first is there: it is still answered on its own connection.
    let waits = tokio::time::timeout(Duration::from_millis(200), second.read(&mut [0; 1])).await;
    assert!(waits.is_err(), "a second connection was served");
    drop(first);
    read_until(&mut second, "}").await;
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_no_limit_of_connections() {
    let site = TestSite::new().await;
    let program = programs::binary().unwrap();
    let confined = scratch::new_dir("confined").unwrap().join("memora-srs");
    let script = format!(
        "#!/bin/sh\nulimit -Sn 64\nexec {} \"$@\"\n",
        program.display()
    );
    std::fs::write(&confined, script).unwrap();
    std::fs::set_permissions(&confined, Permissions::from_mode(0o755)).unwrap();
    let start = Start {
        program: Some(confined),
        ..Start::default()
    };
    let sidecar = Sidecar::start_with(&site, &start).await.unwrap();
    let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..200 {
        let mut connection = TcpStream::connect(sidecar.address).await.unwrap();
        connection.write_all(health).await.unwrap();
        kept.push(connection);
    }
    for connection in &mut kept {
        let answered = tokio::time::timeout(PATIENCE, read_until(connection, "}")).await;
        assert!(answered.is_ok(), "{}", sidecar.process.log());
    }
}

/// Connections touch a little of much memory: of huge pages they would take the whole.
#[tokio::test]
async fn the_program_has_no_huge_pages() {
    let site = TestSite::new().await;
    let sidecar = Sidecar::start(&site).await;
    let status = format!("/proc/{}/status", sidecar.process.id());
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains("THP_enabled:\t0\n"), "{status}");
}
