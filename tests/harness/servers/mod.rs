//! Private servers: a Redis and a MariaDB of our own, on free ports of the loopback
//! interface, in a temporary folder.
//!
//! [`shared`] gives the servers that all tests of this process share.

mod mariadb;
mod redis;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

pub use mariadb::{MariaDb, MariaDbOptions};
pub(crate) use redis::client;
pub use redis::{Redis, RedisDb, RedisOptions};

/// The servers that all tests of this process share.
pub struct Shared {
    /// The record.
    pub mariadb: Arc<MariaDb>,
    /// As bench's `redis_cache`.
    pub cache: Arc<Redis>,
    /// As bench's `redis_queue`.
    pub queue: Arc<Redis>,
}

/// The shared servers, started by whoever asks first. They live as long as the process.
///
/// # Errors
/// If one of them cannot be started.
pub async fn shared() -> Result<&'static Shared> {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED
        .get_or_try_init(|| async {
            let (mariadb, cache, queue) = tokio::try_join!(
                MariaDb::start(MariaDbOptions::default()),
                Redis::start(RedisOptions::default()),
                Redis::start(RedisOptions::default()),
            )?;
            Ok(Shared {
                mariadb: Arc::new(mariadb),
                cache: Arc::new(cache),
                queue: Arc::new(queue),
            })
        })
        .await
}

/// A port that nobody listens on at the moment. Another process may take it before it
/// is used, so whoever uses it tries again with another.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a port")?;
    Ok(listener.local_addr()?.port())
}

/// Tries `start` a few times, each time with another free port.
pub(crate) fn on_free_port<T>(mut start: impl FnMut(u16) -> Result<T>) -> Result<T> {
    let mut last = None;
    for _ in 0..3 {
        match start(free_port()?) {
            Ok(started) => return Ok(started),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no free port")))
}

/// Runs blocking work away from the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a helper thread panicked")?
}
