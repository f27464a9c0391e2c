//! HTTP load that costs the machine little: requests are bytes made beforehand, connections
//! are kept, answers are measured by their `Content-Length` and not parsed further.
//!
//! Generator and server share the processors, so what the generator takes, the server lacks.
//! [`flood`] asks as fast as answers come and says how many came; [`paced`] keeps to a plan and
//! measures from the planned start, as [`crate::load`] does. Both run on one thread of
//! their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::alarm::Alarm;
use crate::load::Latencies;

/// The longest that an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of a request: which, by connection and number of the request on it.
pub type Requests = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Answers, all with 200, that came within the time.
    pub answered: u64,
    /// The time.
    pub elapsed: Duration,
    /// Each answer's time; of [`paced`], from its planned start.
    pub latencies: Latencies,
    /// Bytes of an answer, the last one's: to see that both sides of a comparison send as much.
    pub answer_bytes: usize,
}

impl Flood {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// Asks over so many connections at once for so long, each as soon as it has its answer.
///
/// # Errors
/// If a connection fails or an answer is not 200.
pub async fn flood(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    requests: Requests,
) -> Result<Flood> {
    on_a_thread(move || async move {
        let opened = open(address, connections).await?;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (c, mut connection) in opened.into_iter().enumerate() {
            let requests = requests.clone();
            tasks.spawn(async move {
                let mut micros = Vec::new();
                for n in 0.. {
                    let began = Instant::now();
                    if began - start >= duration {
                        break;
                    }
                    connection.ask(&requests(c, n)).await?;
                    micros.push(began.elapsed().as_micros() as u64);
                }
                anyhow::Ok((micros, connection.answer_bytes))
            });
        }
        collect(tasks, start).await
    })
    .await
}

/// Asks at `rate` requests a second for so long, the connections in turn. A connection whose
/// answer is late sends its next request late, and that request's latency has the delay in it.
///
/// # Errors
/// As [`flood`].
pub async fn paced(
    address: SocketAddr,
    connections: usize,
    rate: f64,
    duration: Duration,
    requests: Requests,
) -> Result<Flood> {
    on_a_thread(move || async move {
        let opened = open(address, connections).await?;
        let start = Instant::now() + Duration::from_millis(10);
        let total = (rate * duration.as_secs_f64()) as usize;
        let mut tasks = JoinSet::new();
        for (c, mut connection) in opened.into_iter().enumerate() {
            let requests = requests.clone();
            tasks.spawn(async move {
                let (mut micros, mut alarm) = (Vec::new(), Alarm::new()?);
                for (n, planned) in (c..total).step_by(connections).enumerate() {
                    let planned = start + Duration::from_secs_f64(planned as f64 / rate);
                    alarm.until(planned).await?;
                    connection.ask(&requests(c, n as u64)).await?;
                    micros.push(planned.elapsed().as_micros() as u64);
                }
                anyhow::Ok((micros, connection.answer_bytes))
            });
        }
        collect(tasks, start).await
    })
    .await
}

/// A request of HTTP/1.1 whose connection is kept. `headers` are whole lines without their
/// ends; a body has its `Content-Length` added.
pub fn request(method: &str, path: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn collect(mut tasks: JoinSet<Result<(Vec<u64>, usize)>>, start: Instant) -> Result<Flood> {
    let (mut micros, mut answer_bytes) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (some, bytes) = done.context("a connection's task")??;
        micros.extend(some);
        answer_bytes = answer_bytes.max(bytes);
    }
    Ok(Flood {
        answered: micros.len() as u64,
        elapsed: start.elapsed(),
        latencies: Latencies::new(micros),
        answer_bytes,
    })
}

async fn open(address: SocketAddr, connections: usize) -> Result<Vec<Connection>> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    Ok(opened)
}

/// Runs `work` on a thread with a runtime of its own.
pub(crate) async fn on_a_thread<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(work())
    };
    tokio::task::spawn_blocking(run)
        .await
        .context("the load generator's thread")?
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    answer_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 * 1024),
            answer_bytes: 0,
        })
    }

    /// Sends a request and reads its answer, which must be a 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<()> {
        let answered = async {
            self.stream.write_all(request).await?;
            self.answer().await
        };
        timeout(PATIENCE, answered)
            .await
            .context("no answer came")?
    }

    /// Reads one answer whole.
    async fn answer(&mut self) -> Result<()> {
        self.buffer.clear();
        let mut whole = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the connection was closed");
            if whole.is_none() {
                whole = answer_length(&self.buffer)?;
            }
            match whole {
                Some(whole) if self.buffer.len() == whole => {
                    self.answer_bytes = whole;
                    return Ok(());
                }
                Some(whole) => ensure!(self.buffer.len() < whole, "more than one answer came"),
                None => {}
            }
        }
    }
}

/// How long the answer is that begins here, once its head is there.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("an answer's head")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("{}", String::from_utf8_lossy(bytes));
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    let length = length.context("an answer without Content-Length")??;
    Ok(Some(end + 4 + length))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request, in pieces, until the connection ends; `status` to all.
    async fn server(status: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut asked = [0; 1024];
                    while stream.read(&mut asked).await.is_ok_and(|n| n > 0) {
                        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhe");
                        let _ = stream.write_all(head.as_bytes()).await;
                        tokio::task::yield_now().await;
                        let _ = stream.write_all(b"llo").await;
                    }
                });
            }
        });
        address
    }

    fn hello() -> Requests {
        Arc::new(|_, _| request("GET", "/", &["Host: a".to_owned()], b""))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_are_counted_whole() {
        let address = server("200 OK").await;
        let flood = flood(address, 4, Duration::from_millis(100), hello())
            .await
            .unwrap();
        assert!(flood.answered > 4, "{flood:?}");
        assert_eq!(flood.latencies.count() as u64, flood.answered);
        assert_eq!(
            flood.answer_bytes,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".len()
        );

        let paced = paced(address, 4, 200.0, Duration::from_millis(500), hello())
            .await
            .unwrap();
        assert_eq!(paced.answered, 100);
        assert!(paced.elapsed >= Duration::from_millis(400), "{paced:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn another_status_is_an_error() {
        let address = server("503 Service Unavailable").await;
        let failed = flood(address, 1, Duration::from_millis(100), hello()).await;
        assert!(format!("{:#}", failed.unwrap_err()).contains("503"));
    }
}
