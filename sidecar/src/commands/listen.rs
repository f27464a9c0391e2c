//! The socket that a server listens on: inherited, shared, or its own.
//!
//! Inherited: systemd (or whoever starts us so) holds the socket and hands it over in
//! `LISTEN_FDS`. While we are restarted connections wait in it, and none is refused.
//! Shared: several processes listen to one port (`SO_REUSEPORT`), so that one can start
//! before another stops.

use std::net::SocketAddr;

use anyhow::Context;
use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// The listener. Must be called on a runtime.
///
/// # Errors
/// If the address cannot be listened on, or what was handed over is no TCP socket.
pub(super) fn listener(bind: SocketAddr, shared: bool) -> anyhow::Result<TcpListener> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 0 {
        let socket = handed.take_tcp_listener(0);
        let socket = socket.context("the socket handed over in LISTEN_FDS")?;
        let socket = socket.context("LISTEN_FDS hands over no TCP socket")?;
        socket.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(socket)?);
    }
    on("--bind", bind, shared)
}

/// The listener for monitoring, if one is wanted; as [`listener`], never handed over.
///
/// # Errors
/// If the address cannot be listened on.
pub(super) fn monitoring(
    bind: Option<SocketAddr>,
    shared: bool,
) -> anyhow::Result<Option<TcpListener>> {
    let listener = bind.map(|bind| on("--metrics-bind", bind, shared));
    listener.transpose()
}

fn on(option: &str, bind: SocketAddr, shared: bool) -> anyhow::Result<TcpListener> {
    let socket = match bind {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let listening = move || {
        // A port in which old connections still end may be listened on.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(shared)?;
        socket.bind(bind)?;
        socket.listen(BACKLOG)
    };
    listening().with_context(|| format!("{option} {bind}"))
}
