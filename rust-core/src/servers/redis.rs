//! One multiplexed connection to one Redis, opened when first needed.
//!
//! A connection that failed or timed out is dropped at once and never used again; the
//! next caller opens a new one. redis-rs' own connection manager is not used because
//! it reconnects unseen and retries, which hides an outage from the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline,
    ScriptInvocation,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Error, Result};

/// How long to wait for a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for one reply. Longer than any command of ours takes by far; a
/// server that needs more is as good as away.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

struct Link {
    id: u64,
    connection: MultiplexedConnection,
}

/// Why a channel cannot be heard.
#[derive(Debug)]
pub struct Unheard {
    /// Whether the user may not.
    pub is_refused: bool,
    /// What the server said.
    pub error: Error,
}

/// See the module's documentation.
pub struct RedisLink {
    client: Client,
    current: ArcSwapOption<Link>,
    /// Held while connecting, so that a crowd opens one connection; when and how that last
    /// failed, so that a crowd waits for one failure and not for one each.
    connecting: Mutex<Option<(Instant, Error)>>,
    next_id: AtomicU64,
}

impl RedisLink {
    /// Describes the Redis at `url` (`redis://`, `rediss://`, `redis+unix://`, `unix://`);
    /// `name` is the configuration key that is named in errors.
    ///
    /// # Errors
    /// `Config` if the URL cannot be read. The URL itself is not repeated: it may
    /// hold a password.
    pub fn new(name: &str, url: &str) -> Result<Self> {
        let wrong = |e| Error::config(format!("{name} is not a Redis URL")).with_source(e);
        let info = url.into_connection_info().map_err(wrong)?;
        // Redis before 7.2 has no CLIENT SETINFO.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(settings)).map_err(wrong)?;
        Ok(Self {
            client,
            current: ArcSwapOption::empty(),
            connecting: Mutex::new(None),
            next_id: AtomicU64::new(0),
        })
    }

    /// Runs one command.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away, slow, or refuses.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T> {
        let link = self.link().await?;
        let result = cmd.query_async(&mut link.connection.clone()).await;
        self.settle(&link, result)
    }

    /// Runs several commands in one round trip.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away, slow, or refuses one of them.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let link = self.link().await?;
        let result = pipeline.query_async(&mut link.connection.clone()).await;
        self.settle(&link, result)
    }

    /// As [`Self::pipeline`], and over which connection: one of another number may lead to
    /// another server.
    ///
    /// # Errors
    /// As [`Self::pipeline`].
    pub async fn pipeline_over<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<(u64, T)> {
        let link = self.link().await?;
        let result = pipeline.query_async(&mut link.connection.clone()).await;
        Ok((link.id, self.settle(&link, result)?))
    }

    /// Runs a script: one round trip, one more when the server does not know it yet.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away, slow, or refuses.
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let link = self.link().await?;
        let result = script.invoke_async(&mut link.connection.clone()).await;
        self.settle(&link, result)
    }

    /// Closes the connection, once nobody waits for an answer over it; the next command
    /// opens another.
    pub fn rest(&self) {
        self.current.store(None);
    }

    /// Opens a connection of its own that hears what is published on a channel.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away; or the user may not listen there, which stays so.
    pub async fn subscribe(&self, channel: &str) -> Result<redis::aio::PubSub, Unheard> {
        let unheard = |error: redis::RedisError| Unheard {
            is_refused: error.code() == Some("NOPERM"),
            error: Error::from(error),
        };
        let opening = async {
            let mut pubsub = self.client.get_async_pubsub().await.map_err(unheard)?;
            pubsub.subscribe(channel).await.map_err(unheard)?;
            Ok(pubsub)
        };
        let limit = CONNECT_TIMEOUT + RESPONSE_TIMEOUT;
        tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|elapsed| {
                let slow = Error::unavailable("Redis is too slow", RESPONSE_TIMEOUT);
                Err(Unheard {
                    is_refused: false,
                    error: slow.with_source(elapsed),
                })
            })
    }

    async fn link(&self) -> Result<Arc<Link>> {
        if let Some(link) = self.current.load_full() {
            return Ok(link);
        }
        let asked = Instant::now();
        let mut last_failure = self.connecting.lock().await;
        if let Some(link) = self.current.load_full() {
            return Ok(link);
        }
        if let Some((at, error)) = &*last_failure
            && *at >= asked
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(e) => {
                let error = Error::from(e);
                *last_failure = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link { id, connection });
        self.current.store(Some(link.clone()));
        Ok(link)
    }

    /// Drops the connection if the error says that it can no longer be trusted: after a
    /// time-out its reply may still come and must not meet another question.
    fn settle<T>(&self, link: &Link, result: redis::RedisResult<T>) -> Result<T> {
        result.map_err(|e| {
            let broken = e.is_unrecoverable_error() || e.is_timeout() || e.is_io_error();
            if broken
                && self
                    .current
                    .load()
                    .as_ref()
                    .is_some_and(|l| l.id == link.id)
            {
                self.current.store(None);
            }
            Error::from(e)
        })
    }
}
