//! A private Redis.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use redis::IntoConnectionInfo;
use redis::aio::MultiplexedConnection;

use super::{blocking, on_free_port};
use crate::process::{Process, find_program};
use crate::scratch;

/// Logical databases of each server: one for each site, so that tests do not meet.
const DATABASES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a Redis is to be like. By default it keeps nothing on disk and never evicts.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// `maxmemory`, as `64mb`.
    pub maxmemory: Option<String>,
    /// `maxmemory-policy`, as `allkeys-lru`.
    pub maxmemory_policy: Option<String>,
    /// Writes an append-only file and syncs it each time (`appendfsync always`).
    pub appendonly: bool,
    /// Writes a dump when it is stopped, and reads it when started again.
    pub dump: bool,
    /// More options, as `["--requirepass", "x"]`.
    pub extra: Vec<String>,
}

/// A private Redis on a port of its own, ended when dropped.
pub struct Redis {
    options: RedisOptions,
    dir: PathBuf,
    port: u16,
    process: Mutex<Process>,
    next_db: AtomicUsize,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        blocking(move || {
            let dir = scratch::new_dir("redis")?;
            let (port, process) = on_free_port(|port| {
                let process = launch(&options, &dir, port)?;
                Ok((port, process))
            })?;
            Ok(Self {
                options,
                dir,
                port,
                process: Mutex::new(process),
                next_db: AtomicUsize::new(1),
            })
        })
        .await
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, as `redis://127.0.0.1:40001`, which means logical database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// A logical database that nobody else was given.
    pub fn new_db(self: &Arc<Self>) -> RedisDb {
        let index = self.next_db.fetch_add(1, Ordering::Relaxed);
        assert!(index < DATABASES, "no logical database of Redis is left");
        RedisDb {
            server: self.clone(),
            index,
        }
    }

    /// A new connection to logical database 0.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await
    }

    /// Ends it in an orderly way; its port and its files stay.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self) {
        let process = self.process();
        process.resume();
        process.stop(PATIENCE).expect("stopping Redis");
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Freezes it: its connections stay, nothing is answered.
    pub fn pause(&self) {
        self.process().pause();
    }

    /// Lets it run again after [`Self::pause`].
    pub fn resume(&self) {
        self.process().resume();
    }

    /// Starts it again on the same port, with what it had saved.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_again(&self) {
        let (options, dir, port) = (self.options.clone(), self.dir.clone(), self.port);
        self.kill();
        let process = blocking(move || launch(&options, &dir, port))
            .await
            .expect("starting Redis again");
        *self.process() = process;
    }

    /// Removes what it has saved: started again, it is empty.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.dir.join("dump.rdb"));
        let _ = std::fs::remove_dir_all(self.dir.join("appendonlydir"));
        let _ = std::fs::remove_file(self.dir.join("appendonly.aof"));
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// One logical database of a Redis.
#[derive(Clone)]
pub struct RedisDb {
    /// The server.
    pub server: Arc<Redis>,
    /// The database's number.
    pub index: usize,
}

impl RedisDb {
    /// Its address, as `redis://127.0.0.1:40001/7`.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server.url(), self.index)
    }

    /// A new connection.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await
    }
}

/// A client that sends nothing of its own accord that this Redis might refuse: a test looks
/// at what was refused.
pub(crate) fn client(url: &str) -> redis::Client {
    let info = url.into_connection_info().expect("the harness's own URL");
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    redis::Client::open(info.set_redis_settings(settings)).expect("the harness's own URL")
}

async fn connect(url: &str) -> MultiplexedConnection {
    // Longer than redis-rs' half a second: two cores may run many tests at once.
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(10)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    client(url)
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap_or_else(|e| panic!("connecting to {url}: {e}"))
}

fn launch(options: &RedisOptions, dir: &std::path::Path, port: u16) -> Result<Process> {
    let program = find_program(&["redis-server"], "redis-server")?;
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--databases", &DATABASES.to_string()])
        .args(["--daemonize", "no"])
        .arg("--dir")
        .arg(dir)
        .arg("--unixsocket")
        .arg(dir.join("redis.sock"));
    if options.dump {
        command.args(["--save", "86400 1000000000"]);
    } else {
        command.args(["--save", ""]);
    }
    if options.appendonly {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    if let Some(maxmemory) = &options.maxmemory {
        command.args(["--maxmemory", maxmemory]);
    }
    if let Some(policy) = &options.maxmemory_policy {
        command.args(["--maxmemory-policy", policy]);
    }
    command.args(&options.extra);
    let process = Process::start("redis-server", command, &dir.join("log"))?;
    process
        .wait_until(PATIENCE, || answers(port))
        .context("Redis")?;
    Ok(process)
}

/// Whether a Redis answers there; one that still loads its dump does not.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut reply = [0; 7];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply).is_ok()
        // With a password: alive all the same.
        && (reply.starts_with(b"+PONG") || reply.starts_with(b"-NOAUTH"))
}
