//! A bounded pool of connections to one MariaDB database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::config::DbConfig;
use crate::{Error, Result};

/// How long a caller waits for a connection, opening one included.
const CHECKOUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle connections above the minimum are closed after this.
const IDLE: Duration = Duration::from_secs(60);

/// How much of a pool is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolUse {
    /// Connections that somebody works with.
    pub used: usize,
    /// Open ones that nobody uses now.
    pub idle: usize,
    /// Those that there may be at once.
    pub max: usize,
    /// Callers that wait for one.
    pub waiting: usize,
}

/// The source of errors of connections that could not be had: whose, and why.
#[derive(Debug, thiserror::Error)]
#[error("MariaDB at {at}")]
struct NoConnection {
    at: String,
    #[source]
    cause: mysql_async::Error,
}

/// See the module's documentation.
pub struct MariaDb {
    max: usize,
    /// Where it is, for an operator's log.
    at: String,
    opts: Opts,
    pool: ArcSwap<Pool>,
    /// Whether a connection was asked for since the last rest.
    used: AtomicBool,
    /// When there was last none to be had.
    away_at: ArcSwapOption<Instant>,
}

impl MariaDb {
    /// Describes the database; opens nothing. At most `max_connections` at once.
    pub fn new(config: &DbConfig, max_connections: usize) -> Self {
        let max = max_connections.max(1);
        let constraints = PoolConstraints::new(0, max).unwrap_or_default();
        let pool = PoolOpts::default()
            .with_constraints(constraints)
            // A minimum of 0 needs a time to live, else every checkout connects anew.
            .with_inactive_connection_ttl(IDLE)
            // Our statements leave no session state behind, so the round trip of a
            // reset buys nothing.
            .with_reset_connection(false);
        let mut opts = OptsBuilder::default()
            .user(Some(&config.user))
            .pass(Some(config.password.expose()))
            .db_name(Some(&config.name))
            .pool_opts(pool)
            .stmt_cache_size(128)
            .prefer_socket(false)
            .init(vec![
                "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', \
                 time_zone = '+00:00', character_set_client = utf8mb4, \
                 character_set_results = utf8mb4, character_set_connection = utf8mb4, \
                 collation_connection = utf8mb4_unicode_ci",
            ]);
        opts = match &config.socket {
            Some(socket) => opts.socket(Some(socket)),
            None => opts.ip_or_hostname(&config.host).tcp_port(config.port),
        };
        let opts = Opts::from(opts);
        let at = match &config.socket {
            Some(socket) => socket.clone(),
            None => format!("{}:{}", config.host, config.port),
        };
        Self {
            max,
            at,
            pool: ArcSwap::from_pointee(Pool::new(opts.clone())),
            used: AtomicBool::new(false),
            away_at: ArcSwapOption::empty(),
            opts,
        }
    }

    /// A connection in autocommit mode, back in the pool when dropped.
    ///
    /// # Errors
    /// `Unavailable` if none can be had within two seconds.
    pub async fn conn(&self) -> Result<Conn> {
        self.conn_within(CHECKOUT_TIMEOUT).await
    }

    /// As [`Self::conn`], for who can wait longer, or not as long.
    ///
    /// # Errors
    /// `Unavailable` if none can be had within `limit`.
    pub async fn conn_within(&self, limit: Duration) -> Result<Conn> {
        self.used.store(true, Ordering::Relaxed);
        let pool = self.pool.load_full();
        let conn = match timeout(limit, pool.get_conn()).await {
            Ok(conn) => conn.map_err(|cause| {
                let at = self.at.clone();
                Error::unavailable("The database is not available", Duration::from_secs(1))
                    .with_source(NoConnection { at, cause })
            }),
            Err(_) => Err(Error::unavailable(
                "The database is too busy",
                Duration::from_secs(1),
            )),
        };
        if conn.is_err() {
            self.away_at.store(Some(Arc::new(Instant::now())));
        }
        conn
    }

    /// Whether this process has found no connection within the last `span`.
    pub fn was_away(&self, span: Duration) -> bool {
        let away_at = self.away_at.load();
        away_at.as_ref().is_some_and(|at| at.elapsed() < span)
    }

    /// Runs `work` for at most `limit`. A server that neither answers nor hangs up must not
    /// hold whoever asks: a connection whose statement is dropped half way is closed, not
    /// pooled.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable` when time is up.
    pub async fn within<T, E: From<Error>>(
        limit: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        timeout(limit, work).await.unwrap_or_else(|elapsed| {
            let slow = Error::unavailable("The database is too slow", Duration::from_secs(1));
            Err(slow.with_source(elapsed).into())
        })
    }

    /// Closes a connection whose statement's outcome is unknown: it must not be pooled,
    /// the statement may still be running on it.
    pub fn discard(conn: Conn) {
        tokio::spawn(async move {
            let _ = conn.disconnect().await;
        });
    }

    /// Closes idle connections now, and those in use when they are given back.
    pub async fn rest(&self) {
        self.used.store(false, Ordering::Relaxed);
        let pool = self.pool.swap(Arc::new(Pool::new(self.opts.clone())));
        // Waits for those in use; who dropped this future would only close them later.
        let _ = Pool::clone(&pool).disconnect().await;
    }

    /// Ends what a connection does, which nobody waits for any more: a statement that waits
    /// for a lock goes on doing so on the server, with all its own locks, long after its
    /// client has hung up.
    pub fn kill(&self, conn: Conn) {
        let (pool, id) = (self.pool.load_full(), conn.id());
        Self::discard(conn);
        tokio::spawn(async move {
            let killed = async {
                let mut conn = pool.get_conn().await?;
                // Everybody may end their own connections.
                conn.query_drop(format!("KILL {id}")).await
            };
            let _ = timeout(CHECKOUT_TIMEOUT, killed).await;
        });
    }

    /// How much of the pool is in use now.
    pub fn pool_use(&self) -> PoolUse {
        let metrics = self.pool.load().metrics();
        let open = metrics.connection_count.load(Ordering::Relaxed);
        let idle = metrics.connections_in_pool.load(Ordering::Relaxed);
        PoolUse {
            // Two looks: one may have been given back in between.
            used: open.saturating_sub(idle),
            idle: idle.min(open),
            max: self.max,
            waiting: metrics.active_wait_requests.load(Ordering::Relaxed),
        }
    }

    /// Whether a connection was asked for since [`Self::rest`].
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        let _ = Pool::clone(&self.pool.load()).disconnect().await;
    }
}
