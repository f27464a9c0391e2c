//! A private MariaDB.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, OptsBuilder};

use super::{blocking, on_free_port};
use crate::process::{self, Process, find_program};
use crate::scratch;

const PACKAGE: &str = "mariadb-server";
/// For an orderly end, or a start after a crash, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a MariaDB is to be like. Commits are always synced to disk: durability is what
/// the tests are about.
#[derive(Debug, Clone)]
pub struct MariaDbOptions {
    /// `innodb_buffer_pool_size` in MiB.
    pub buffer_pool_mb: u32,
    /// `innodb_log_file_size` in MiB.
    pub log_file_mb: u32,
    /// More options, as `["--innodb-lock-wait-timeout=1"]`.
    pub extra: Vec<String>,
}

impl Default for MariaDbOptions {
    fn default() -> Self {
        Self {
            buffer_pool_mb: 64,
            log_file_mb: 48,
            extra: Vec::new(),
        }
    }
}

/// A private MariaDB on a port of its own, ended when dropped. Its user `root` needs no
/// password, through the socket only.
pub struct MariaDb {
    options: MariaDbOptions,
    dir: PathBuf,
    port: u16,
    process: Mutex<Process>,
}

impl MariaDb {
    /// Makes one, starts it and waits until it answers. Takes a few seconds.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(options: MariaDbOptions) -> Result<Self> {
        blocking(move || {
            let dir = scratch::new_dir("mariadb")?;
            install(&options, &dir)?;
            let (port, process) = on_free_port(|port| {
                let process = launch(&options, &dir, port)?;
                Ok((port, process))
            })?;
            Ok(Self {
                options,
                dir,
                port,
                process: Mutex::new(process),
            })
        })
        .await
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    /// A new connection as root, to no database.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn root(&self) -> Result<Conn> {
        let opts = OptsBuilder::default()
            .user(Some("root"))
            .socket(Some(self.socket().to_string_lossy().into_owned()));
        let conn = Conn::new(opts).await;
        conn.with_context(|| format!("connecting to MariaDB: {}", self.process().state()))
    }

    /// Ends it in an orderly way; its port and its files stay.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self) {
        let process = self.process();
        process.resume();
        process.stop(PATIENCE).expect("stopping MariaDB");
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

    /// Starts it again on the same port, with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_again(&self) {
        let (options, dir, port) = (self.options.clone(), self.dir.clone(), self.port);
        self.kill();
        let process = blocking(move || launch(&options, &dir, port))
            .await
            .expect("starting MariaDB again");
        *self.process() = process;
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("mariadb.sock")
}

fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// Makes the system tables.
fn install(options: &MariaDbOptions, dir: &Path) -> Result<()> {
    let program = find_program(&["mariadb-install-db", "mysql_install_db"], PACKAGE)?;
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data(dir).display()))
        .arg(format!("--tmpdir={}", dir.display()))
        .arg(format!("--innodb-log-file-size={}M", options.log_file_mb))
        .args(["--auth-root-authentication-method=normal"])
        .args(["--skip-test-db", "--skip-name-resolve"]);
    if process::is_root() {
        command.arg("--user=root");
    }
    process::run("mariadb-install-db", command)?;
    Ok(())
}

fn launch(options: &MariaDbOptions, dir: &Path, port: u16) -> Result<Process> {
    let program = find_program(&["mariadbd", "mysqld"], PACKAGE)?;
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data(dir).display()))
        // A server that starts deletes the temporary tables in this folder, also those
        // of another server, which then fails or crashes.
        .arg(format!("--tmpdir={}", dir.display()))
        .arg(format!("--socket={}", socket(dir).display()))
        .arg(format!("--pid-file={}", dir.join("pid").display()))
        .arg(format!("--port={port}"))
        .arg(format!(
            "--innodb-buffer-pool-size={}M",
            options.buffer_pool_mb
        ))
        .arg(format!("--innodb-log-file-size={}M", options.log_file_mb))
        .args([
            "--bind-address=127.0.0.1",
            "--skip-networking=0",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--innodb-flush-log-at-trx-commit=1",
            "--performance-schema=OFF",
            "--max-connections=500",
            // Our own look whether it answers is an aborted connection to it.
            "--max-connect-errors=1000000",
            // A log in a table names the user of each statement; off until asked for.
            "--log-output=TABLE",
        ])
        .args(&options.extra);
    if process::is_root() {
        command.arg("--user=root");
    }
    let process = Process::start("mariadbd", command, &dir.join("log"))?;
    process
        .wait_until(PATIENCE, || greets(&socket(dir)))
        .context("MariaDB")?;
    Ok(process)
}

/// Whether a MariaDB greets there: its first packet begins with protocol version 10.
fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).is_ok() && greeting[4] == 10
}
