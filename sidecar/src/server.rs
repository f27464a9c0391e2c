//! Connections: accepting them, bounding them, and letting them end well.
//!
//! The caller owns the listener and the moment to stop, so a test serves on port 0 and
//! stops when it likes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use memora_core::metrics::metrics;
use memora_core::services::{Sites, recovery};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::middleware;
use crate::page::Page;

/// Bytes of a request's head that are read at all; `middleware` refuses much less, in
/// Frappe's shape.
const MAX_HEAD: usize = 64 * 1024;
/// Pause after a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections taken after the server was told to stop, at most: what may wait in the queue.
const LAST_ACCEPTED: usize = 4096;
/// How long new connections have for their first request once no more are taken. It is on its
/// way as a rule.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Between two looks whether all have sent theirs.
const LOOK: Duration = Duration::from_millis(5);

/// Bounds of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at once; more wait in the listener's backlog.
    pub max_connections: usize,
    /// How long a connection may take to send a request's head, idle time between two
    /// requests included. Longer than the 60 s for which nginx keeps a connection, so
    /// that nginx closes first and never sends into a closing one.
    pub head_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a client may leave an answer, or a part of one, untaken.
    pub send_timeout: Duration,
    /// Largest body in bytes. 50 answers with the longest ids take some 40 KiB.
    pub max_body: usize,
    /// What takes longer is logged as slow.
    pub slow_request: Duration,
    /// How long requests may take to end once the server is told to stop.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            head_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(30),
            max_body: 1024 * 1024,
            slow_request: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }
}

/// What every request can reach.
pub(crate) struct App {
    pub(crate) sites: Arc<Sites>,
    pub(crate) options: Options,
    /// Connections that have sent no request yet.
    new: Arc<AtomicUsize>,
    pub(crate) page: Page,
}

/// Counts a connection until its first request, or its end.
struct New {
    all: Arc<AtomicUsize>,
    counts: AtomicBool,
}

impl New {
    fn connection(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self {
            all: all.clone(),
            counts: AtomicBool::new(true),
        }
    }

    /// It has sent a request.
    fn asks(&self) {
        if self.counts.swap(false, Ordering::Relaxed) {
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        self.asks();
    }
}

/// Serves `listener` until `shutdown`, then takes no more connections, closes idle ones
/// and waits until every accepted request is answered and done, for `options.drain` at
/// most.
pub async fn run(
    listener: TcpListener,
    sites: Arc<Sites>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    metrics().expect_operations(&middleware::operations());
    let drain = options.drain;
    let permits = Arc::new(Semaphore::new(options.max_connections));
    let keeper = tokio::spawn(recovery::keep(sites.clone()));
    let app = Arc::new(App {
        sites,
        options,
        new: Arc::default(),
        page: Page::default(),
    });
    let graceful = GracefulShutdown::new();
    // Every connection and every request holds a sender; none is left when all is done.
    let (alive, mut all_done) = mpsc::channel::<()>(1);

    tokio::pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        serve(&app, &graceful, &alive, stream, permit);
    }

    // Whoever has connected by now is answered: where several listen to one port, what waits
    // in the queue of one is lost when that one closes it.
    for (stream, permit) in waiting(listener, &permits) {
        serve(&app, &graceful, &alive, stream, permit);
    }
    drop(alive);
    // A connection whose first request is not read yet would be closed as idle.
    let all_sent = async {
        while app.new.load(Ordering::Relaxed) > 0 {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(FIRST_REQUEST, all_sent).await;
    let done = async {
        graceful.shutdown().await;
        all_done.recv().await;
    };
    if timeout(drain, done).await.is_err() {
        tracing::warn!(
            waited_ms = drain.as_millis() as u64,
            "stopping with requests under way"
        );
    }
    keeper.abort();
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            // The semaphore is never closed.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections that wait to be accepted, as far as there is room; closes the listener after
/// the last. Asked of the kernel itself: the runtime may not have heard of the newest.
fn waiting(
    listener: TcpListener,
    permits: &Arc<Semaphore>,
) -> impl Iterator<Item = (TcpStream, OwnedSemaphorePermit)> {
    let listener = listener.into_std().ok();
    std::iter::from_fn(move || {
        let permit = permits.clone().try_acquire_owned().ok()?;
        let (stream, _) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, permit))
    })
    .take(LAST_ACCEPTED)
}

/// Serves one connection in a task of its own, which holds `permit` and `alive`.
fn serve(
    app: &Arc<App>,
    graceful: &GracefulShutdown,
    alive: &mpsc::Sender<()>,
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
) {
    // Answers are small and whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    // Who asks and takes no answers would keep the connection for ever: hyper waits for room
    // in the socket without a limit. The kernel has one.
    let send_timeout = app.options.send_timeout.as_millis() as u32;
    if let Err(error) = set_tcp_user_timeout(&stream, send_timeout) {
        tracing::debug!(%error, "a connection has no limit for untaken answers");
    }
    let (app, alive) = (app.clone(), alive.clone());
    let head_timeout = app.options.head_timeout;
    let for_requests = alive.clone();
    let new = New::connection(&app.new);
    let service = service_fn(move |request| {
        new.asks();
        // In a box: hyper keeps room for what is in flight as long as the connection is open,
        // and most of ten thousand connections are idle.
        let answer = Box::pin(middleware::observe(
            app.clone(),
            for_requests.clone(),
            request,
        ));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended early");
        }
        drop((permit, alive));
    });
}
