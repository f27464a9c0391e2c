//! One multiplexed connection to one Redis, opened when first needed.
//!
//! A connection that failed or timed out is dropped at once and never used again; the
//! next caller opens a new one. redis-rs' own connection manager is not used because
//! it reconnects unseen and retries, which hides an outage from the caller.
//!
//! A *guarded* link has a [`Breaker`]: while that is open, nothing is sent and nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, Script,
    ScriptInvocation, Value,
};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::breaker::{Breaker, State};
use crate::{Error, Result};

/// How long to wait for a new connection, and for one reply. Longer than any command of
/// ours takes by far; a server that needs more is as good as away.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The same for a guarded link, so that its outage is noticed within a second.
const GUARDED_TIMEOUT: Duration = Duration::from_millis(700);
/// The code of a server that reads its data set and answers nothing else until it has.
const LOADING: &str = "LOADING";
/// When to come back while a breaker is open.
const COME_BACK: Duration = Duration::from_secs(5);

struct Link {
    id: u64,
    /// The server process at the other end, which cannot become another; empty if it does
    /// not say. Asked for when first needed.
    run_id: OnceCell<String>,
    connection: MultiplexedConnection,
}

/// A call of a script among many ([`RedisLink::all_told`]): its arguments are written once,
/// into what is sent.
pub struct ScriptCall {
    script: &'static Script,
    cmd: Cmd,
    bytes: usize,
}

impl ScriptCall {
    /// A call with these keys.
    pub fn new(script: &'static Script, keys: &[&str]) -> Self {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(script.get_hash()).arg(keys.len()).arg(keys);
        let bytes = keys.iter().map(|key| key.len() + 16).sum();
        Self { script, cmd, bytes }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<[u8]>) -> &mut Self {
        let arg = arg.as_ref();
        self.bytes += arg.len() + 16;
        self.cmd.arg(arg);
        self
    }

    /// Bytes to be sent, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
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
    guard: Option<Guard>,
}

struct Guard {
    breaker: Arc<Breaker>,
    /// The link itself, for the task of a probe.
    link: Weak<RedisLink>,
    made: Instant,
    /// When a command was last answered, in milliseconds from `made`.
    answered_ms: AtomicU64,
}

impl Guard {
    fn answered(&self) {
        self.answered_ms.store(self.age_ms(), Ordering::Relaxed);
        self.breaker.succeeded();
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The source of errors of commands that were never sent: whatever they were to do, they
/// have not done.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct NotSent {
    why: String,
    /// Why there is no connection, if one was tried.
    #[source]
    cause: Option<redis::RedisError>,
}

/// Whether the command that failed with this error was never sent.
pub fn was_not_sent(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<NotSent>())
}

impl RedisLink {
    /// Describes the Redis at `url` (`redis://`, `redis+unix://`, `unix://`);
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
            guard: None,
        })
    }

    /// As [`Self::new`], with a breaker over its commands.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn guarded(name: &str, url: &str, breaker: Arc<Breaker>) -> Result<Arc<Self>> {
        let plain = Self::new(name, url)?;
        Ok(Arc::new_cyclic(|link| Self {
            guard: Some(Guard {
                breaker,
                link: link.clone(),
                made: Instant::now(),
                answered_ms: AtomicU64::new(0),
            }),
            ..plain
        }))
    }

    /// How long the server has answered nothing, asked or not; zero without a breaker.
    pub fn silence(&self) -> Duration {
        let guard = self.guard.as_ref();
        guard.map_or(Duration::ZERO, |guard| {
            let answered = guard.answered_ms.load(Ordering::Relaxed);
            Duration::from_millis(guard.age_ms().saturating_sub(answered))
        })
    }

    /// What the breaker over the server thinks of it; `None` without one.
    pub fn breaker_state(&self) -> Option<State> {
        self.guard.as_ref().map(|guard| guard.breaker.state())
    }

    /// Whether the breaker refuses commands now.
    pub fn is_refused(&self) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.breaker.is_open())
    }

    /// Starts a probe if the breaker is open and the last one is long enough ago. Returns
    /// at once.
    pub fn nudge(&self) {
        if let Some(guard) = &self.guard
            && guard.breaker.claim_probe()
            && let Some(link) = guard.link.upgrade()
        {
            tokio::spawn(async move { link.probe().await });
        }
    }

    /// Asks the server whether it is there, whatever the breaker says; its answer counts
    /// as any command's.
    ///
    /// # Errors
    /// `Unavailable` if it is not.
    pub async fn ping(&self) -> Result<()> {
        let link = self.connected().await?;
        let mut connection = link.connection.clone();
        let result = redis::cmd("PING").query_async(&mut connection).await;
        self.settle(&link, result)
    }

    async fn probe(&self) {
        let answered = self.ping().await.is_ok();
        if let Some(guard) = &self.guard {
            guard.breaker.probed(answered);
        }
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

    /// As [`Self::pipeline`], and which server process answered: its `run_id`; the number of
    /// the connection where it does not say.
    ///
    /// # Errors
    /// As [`Self::pipeline`].
    pub async fn pipeline_from<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<(String, T)> {
        let link = self.link().await?;
        let mut connection = link.connection.clone();
        let run_id = link.run_id.get_or_init(|| run_id(&mut connection)).await;
        let instance = match run_id.as_str() {
            "" => link.id.to_string(),
            known => known.to_owned(),
        };
        let result = pipeline.query_async(&mut connection).await;
        Ok((instance, self.settle(&link, result)?))
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

    /// As [`Self::script`], telling the script as its last argument which server process it
    /// is on (`run_id`). That cannot change while the connection lasts, and asking inside of
    /// the script takes Redis longer than most of what our scripts do.
    ///
    /// # Errors
    /// As [`Self::script`].
    pub async fn told<T: FromRedisValue>(&self, script: &mut ScriptInvocation<'_>) -> Result<T> {
        let link = self.link().await?;
        let mut connection = link.connection.clone();
        let run_id = link.run_id.get_or_init(|| run_id(&mut connection)).await;
        script.arg(run_id);
        let result = script.invoke_async(&mut link.connection.clone()).await;
        self.settle(&link, result)
    }

    /// Runs calls of scripts in one round trip, telling each what [`Self::told`] does; what
    /// came of each, in order. Those whose script the server does not know are done after
    /// the others, in one more.
    ///
    /// # Errors
    /// `Unavailable` if Redis is away or slow: any of the calls may have been done.
    pub async fn all_told(&self, calls: Vec<ScriptCall>) -> Result<Vec<Result<Value>>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let link = self.link().await?;
        let mut connection = link.connection.clone();
        let run_id = link.run_id.get_or_init(|| run_id(&mut connection)).await;
        let scripts: Vec<&Script> = calls.iter().map(|call| call.script).collect();
        let mut pipeline = Pipeline::with_capacity(calls.len());
        pipeline.ignore_errors();
        for mut call in calls {
            call.cmd.arg(run_id);
            pipeline.add_command(call.cmd);
        }
        let mut replies = self.send(&link, &pipeline).await?;
        let is_unknown = |reply: &redis::RedisResult<Value>| {
            let unknown = redis::ErrorKind::Server(redis::ServerErrorKind::NoScript);
            reply.as_ref().is_err_and(|error| error.kind() == unknown)
        };
        let unknown: Vec<usize> = (0..replies.len())
            .filter(|&i| is_unknown(&replies[i]))
            .collect();
        if !unknown.is_empty() {
            let (mut again, mut loaded) = (redis::pipe(), Vec::new());
            again.ignore_errors();
            for script in unknown.iter().filter_map(|&i| scripts.get(i)) {
                if !loaded.contains(&script.get_hash()) {
                    loaded.push(script.get_hash());
                    again.load_script(script);
                }
            }
            let calls: Vec<&Cmd> = pipeline.cmd_iter().collect();
            for call in unknown.iter().filter_map(|&i| calls.get(i)) {
                again.add_command((*call).clone());
            }
            let done = self.send(&link, &again).await?.split_off(loaded.len());
            for (i, reply) in unknown.into_iter().zip(done) {
                replies[i] = reply;
            }
        }
        // An error is one of the server, as the only command's would be.
        let settled = replies
            .into_iter()
            .map(|reply| reply.or_else(|error| self.settle(&link, Err(error))));
        Ok(settled.collect())
    }

    async fn send(
        &self,
        link: &Link,
        pipeline: &Pipeline,
    ) -> Result<Vec<redis::RedisResult<Value>>> {
        let sent = pipeline.query_async(&mut link.connection.clone()).await;
        self.settle(link, sent)
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
        let limit = Duration::from_secs(2);
        tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|elapsed| {
                let slow = Error::unavailable("Redis is too slow", COME_BACK);
                Err(Unheard {
                    is_refused: false,
                    error: slow.with_source(elapsed),
                })
            })
    }

    /// A connection, unless the breaker is open.
    async fn link(&self) -> Result<Arc<Link>> {
        if let Some(guard) = &self.guard
            && guard.breaker.is_open()
        {
            self.nudge();
            let refused = Error::unavailable("Redis is not available", COME_BACK);
            let (why, cause) = ("not asked in Safe Mode".to_owned(), None);
            return Err(refused.with_source(NotSent { why, cause }));
        }
        self.connected().await
    }

    async fn connected(&self) -> Result<Arc<Link>> {
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
        let patience = self.guard.as_ref().map_or(TIMEOUT, |_| GUARDED_TIMEOUT);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(e) => {
                if let Some(guard) = &self.guard {
                    guard.breaker.failed(e.is_timeout());
                }
                let address = self.client.get_connection_info().addr();
                let (why, cause) = (format!("Redis at {address}"), Some(e.clone()));
                let error = Error::from(e).with_source(NotSent { why, cause });
                *last_failure = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link {
            id,
            run_id: OnceCell::new(),
            connection,
        });
        self.current.store(Some(link.clone()));
        Ok(link)
    }

    /// Drops the connection if the error says that it can no longer be trusted: after a
    /// time-out its reply may still come and must not meet another question.
    fn settle<T>(&self, link: &Link, result: redis::RedisResult<T>) -> Result<T> {
        let guard = self.guard.as_ref();
        result
            .inspect(|_| {
                if let Some(guard) = guard {
                    guard.answered();
                }
            })
            .map_err(|e| {
                let broken = e.is_unrecoverable_error() || e.is_timeout() || e.is_io_error();
                // What others had under way on the same connection fails with it, perhaps
                // only when another is open already: it counts once.
                let dropped = broken && self.drop_link(link);
                if let Some(guard) = guard {
                    if dropped || e.code() == Some(LOADING) {
                        guard.breaker.failed(e.is_timeout());
                    } else if !broken {
                        guard.answered();
                    }
                }
                Error::from(e)
            })
    }

    /// Whether it was the current one.
    fn drop_link(&self, link: &Link) -> bool {
        let current = self.current.load();
        if current.as_ref().is_none_or(|l| l.id != link.id) {
            return false;
        }
        let before = self.current.compare_and_swap(&current, None);
        before.as_ref().is_some_and(|l| l.id == link.id)
    }
}

/// Which process this is. Whoever may not ask is told nothing; a connection that breaks
/// over it fails at its first command.
async fn run_id(connection: &mut MultiplexedConnection) -> String {
    let asked: redis::RedisResult<redis::InfoDict> = redis::cmd("INFO")
        .arg("server")
        .query_async(connection)
        .await;
    let info = asked.ok();
    info.and_then(|info| info.get("run_id")).unwrap_or_default()
}
