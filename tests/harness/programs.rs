//! `memora-srs` as processes of their own: to be killed, and several at once.
//!
//! What runs is `memora-srs-failpoints` ([`binary`]): the very program, built with
//! failpoints by this package, so that cargo builds it before it runs these tests and it
//! is never older than they are.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::TestSite;
use crate::http::Http;
use crate::process::{self, Process};
use crate::scratch;
use crate::servers::blocking;
use crate::wait::PATIENCE;

/// The program's file name, without and with failpoints.
const NAMES: [&str; 2] = ["memora-srs", "memora-srs-failpoints"];

/// The program of this build, with failpoints.
///
/// # Errors
/// If it is not there; says how to build it.
pub fn binary() -> Result<PathBuf> {
    beside_us(NAMES[1]).context("build it: cargo build -p memora-tests --bins")
}

/// The program of this build, as released.
///
/// # Errors
/// If it is not there; says how to build it.
pub fn released_binary() -> Result<PathBuf> {
    beside_us(NAMES[0]).context("build it: cargo build -p memora-sidecar")
}

/// A file of this build: tests run in `target/<profile>/deps`, programs one level above.
fn beside_us(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("finding this program's file")?;
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} was not built beside {}", this.display()))
}

/// How a program is started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
    /// The program's file; [`binary`] if not given.
    pub program: Option<PathBuf>,
}

impl Start {
    /// With a failpoint at which the process ends (`exit`) or the operation fails
    /// (`fail`).
    #[must_use]
    pub fn failpoint(mut self, point: &str, action: &str) -> Self {
        let spec = format!("{point}={action}");
        self.env.push(("MEMORA_FAILPOINTS".to_owned(), spec));
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The command `memora-srs <subcommand>` for this site's bench.
    ///
    /// # Errors
    /// If the program is not there.
    pub fn command(&self, subcommand: &str, site: &TestSite) -> Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => binary()?,
        };
        let mut command = Command::new(program);
        command
            .arg(subcommand)
            .arg("--sites-path")
            .arg(&site.sites_path)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// `memora-srs serve`, ended when dropped.
pub struct Sidecar {
    /// Where it answers.
    pub address: SocketAddr,
    /// The process, to be killed or frozen.
    pub process: Process,
}

impl Sidecar {
    /// Starts one for this site's bench.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(site: &TestSite) -> Self {
        Self::start_with(site, &Start::default())
            .await
            .unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Starts one in another way than the usual.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_with(site: &TestSite, start: &Start) -> Result<Self> {
        let mut command = start.command("serve", site)?;
        if !start.args.iter().any(|arg| arg == "--bind") {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        Self::listening(command, Stdio::null()).await
    }

    /// Starts one on a socket that somebody else holds, handed over as systemd hands it.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_on(site: &TestSite, socket: &TcpListener) -> Result<Self> {
        let serve = Start::default().command("serve", site)?;
        let mut command = Command::new("sh");
        // Descriptor 3 is where handed sockets begin; the process must be the one named.
        let script = "exec 3<&0; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
        command.args(["-c", script]).arg(serve.get_program());
        command.args(serve.get_args());
        let socket = Stdio::from(OwnedFd::from(socket.try_clone()?));
        Self::listening(command, socket).await
    }

    async fn listening(command: Command, input: Stdio) -> Result<Self> {
        let log = scratch::new_dir("serve")?.join("log");
        blocking(move || {
            let process = Process::start_with_input("memora-srs serve", command, &log, input)?;
            // It says on which port it listens, once it does.
            let mut address = None;
            process.wait_until(PATIENCE, || {
                address = process
                    .log()
                    .split_once("listening on http://")
                    .and_then(|(_, rest)| rest.split_once('\n'))
                    .and_then(|(address, _)| address.trim().parse().ok());
                address.is_some()
            })?;
            let address = address.context("no address")?;
            Ok(Self { address, process })
        })
        .await
    }

    /// A client of it for this site.
    pub fn http(&self, site: &TestSite) -> Http {
        Http::new(self.address, &site.name)
    }
}

/// `memora-srs worker`, ended when dropped.
pub struct Worker {
    /// The process, to be killed or frozen.
    pub process: Process,
}

impl Worker {
    /// Starts one for this site.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(site: &TestSite) -> Self {
        Self::start_with(site, &Start::default()).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Starts one in another way than the usual. Does not wait for its first job: what
    /// it does shows when it is done.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_with(site: &TestSite, start: &Start) -> Result<Self> {
        let mut command = start.command("worker", site)?;
        command.args(["--site", &site.name]);
        let log = scratch::new_dir("worker")?.join("log");
        let process = Process::start("memora-srs worker", command, &log)?;
        Ok(Self { process })
    }
}

/// As [`run`], a subcommand of a subcommand: `memora-srs <group> <subcommand>`.
///
/// # Errors
/// As [`run`].
pub async fn run_in(
    site: &TestSite,
    start: &Start,
    group: &str,
    subcommand: &str,
) -> Result<String> {
    let program = match &start.program {
        Some(program) => program.clone(),
        None => binary()?,
    };
    let mut command = Command::new(program);
    command
        .args([group, subcommand, "--sites-path"])
        .arg(&site.sites_path)
        .args(["--site", &site.name])
        .args(&start.args)
        .envs(start.env.iter().map(|(name, value)| (name, value)));
    let name = format!("memora-srs {group} {subcommand}");
    blocking(move || process::run(&name, command)).await
}

/// Runs another subcommand of `memora-srs` to its end.
///
/// # Errors
/// If it cannot be started, or fails; with its output.
pub async fn run(site: &TestSite, start: &Start, subcommand: &str) -> Result<String> {
    let mut command = start.command(subcommand, site)?;
    command.args(["--site", &site.name]);
    let name = format!("memora-srs {subcommand}");
    blocking(move || process::run(&name, command)).await
}
