//! A TCP proxy that makes trouble: between a client and a server it delays, cuts or
//! swallows what is sent, and counts round trips.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the proxy does with connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes everything on.
    None,
    /// Passes everything on, each piece later by this much in each direction.
    Delay(Duration),
    /// Passes requests on but keeps the answers back: the server does its work, and
    /// nobody hears of it. Passed on when the fault ends.
    HoldAnswers,
    /// Accepts connections and lets nothing through, as behind a firewall that drops.
    /// Passed on when the fault ends.
    BlackHole,
    /// Closes all connections, and new ones at once.
    Cut,
}

/// A proxy in front of one server, ended when dropped.
pub struct Proxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    turns: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    server: Arc<AtomicU16>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    /// In front of the server at this port of the loopback interface.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (fault, faults) = watch::channel(Fault::None);
        let (turns, connections) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let server = Arc::new(AtomicU16::new(port));
        let acceptor = tokio::spawn({
            let (turns, connections) = (turns.clone(), connections.clone());
            let server = server.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let port = server.load(Ordering::SeqCst);
                    tokio::spawn(connection(client, port, faults.clone(), turns.clone()));
                }
            }
        });
        Self {
            address,
            fault,
            turns,
            connections,
            server,
            acceptor,
        }
    }

    /// Leads new connections to another server from now on, as a failover does.
    pub fn lead_to(&self, port: u16) {
        self.server.store(port, Ordering::SeqCst);
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Begins or ends a fault.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Round trips so far: how often a client spoke after its server had, or at first.
    /// Exact when each client waits for an answer before it speaks again; requests sent
    /// together are one.
    pub fn round_trips(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    /// Connections made so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.fault.send_replace(Fault::Cut);
    }
}

async fn connection(
    client: TcpStream,
    port: u16,
    faults: watch::Receiver<Fault>,
    turns: Arc<AtomicU64>,
) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let turn = Turn {
        turns,
        clients: Arc::new(AtomicU64::new(0)),
    };
    let mut cut = faults.clone();
    let requests = pass(from_client, to_server, faults.clone(), Side::Client, &turn);
    let answers = pass(from_server, to_client, faults, Side::Server, &turn);
    tokio::select! {
        () = async { tokio::join!(requests, answers); } => {}
        // An error means that the proxy is gone, which cuts too.
        _ = cut.wait_for(|fault| *fault == Fault::Cut) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// Whose turn it is on one connection.
struct Turn {
    turns: Arc<AtomicU64>,
    /// 1 while the client has spoken and the server not yet.
    clients: Arc<AtomicU64>,
}

impl Turn {
    fn spoke(&self, side: Side) {
        match side {
            Side::Client => {
                if self.clients.swap(1, Ordering::SeqCst) == 0 {
                    self.turns.fetch_add(1, Ordering::SeqCst);
                }
            }
            Side::Server => self.clients.store(0, Ordering::SeqCst),
        }
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    side: Side,
    turn: &Turn,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = from.read(&mut buffer).await {
        if n == 0 {
            break;
        }
        turn.spoke(side);
        let fault = *faults.borrow_and_update();
        if let Fault::Delay(delay) = fault {
            sleep(delay).await;
        }
        let held = |fault: &Fault| match fault {
            Fault::BlackHole | Fault::Cut => true,
            Fault::HoldAnswers => side == Side::Server,
            Fault::None | Fault::Delay(_) => false,
        };
        if faults.wait_for(|fault| !held(fault)).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
