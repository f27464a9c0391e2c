//! The subcommands, one file each: options, `run`.

pub(crate) mod archive;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod check_config;
pub(crate) mod completions;
pub(crate) mod journal;
mod listen;
pub(crate) mod long;
pub(crate) mod migrate;
mod open_files;
mod paint;
pub(crate) mod partition;
pub(crate) mod rebuild;
pub(crate) mod reconcile;
pub(crate) mod retention;
pub(crate) mod safe_mode;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod sweep;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves when the process is told to stop ([`stop_signals`]).
///
/// # Errors
/// If the signals cannot be listened to.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = stop_signals()?;
    Ok(async move { signals.next().await })
}

/// The signals that tell the process to stop.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` where whoever started the process has it ignored.
    hangup: Option<Signal>,
    user: [Signal; 2],
}

/// Listens to SIGTERM (a supervisor), SIGINT (Ctrl-C), SIGQUIT and SIGHUP (a terminal that
/// closes), and to SIGUSR1 and SIGUSR2, which mean nothing here and would else end the process
/// at once.
///
/// # Errors
/// If the signals cannot be listened to.
pub(crate) fn stop_signals() -> std::io::Result<StopSignals> {
    Ok(StopSignals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        quit: signal(SignalKind::quit())?,
        hangup: match hangup_is_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        },
        user: [
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ],
    })
}

/// Whether the process was started so, as `nohup` does: then it is to outlive its terminal.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = SignalKind::hangup().as_raw_value() - 1;
    mask.is_some_and(|mask| (mask >> bit) & 1 == 1)
}

impl StopSignals {
    /// The next one.
    pub(crate) async fn next(&mut self) {
        let name = loop {
            let Self {
                terminate,
                interrupt,
                quit,
                hangup,
                user: [user1, user2],
            } = self;
            let hangup = async {
                match hangup {
                    Some(hangup) => _ = hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let ignored = tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = quit.recv() => break "SIGQUIT",
                () = hangup => break "SIGHUP",
                _ = user1.recv() => "SIGUSR1",
                _ = user2.recv() => "SIGUSR2",
            };
            tracing::warn!(signal = ignored, "ignored: it means nothing here");
        };
        tracing::info!(signal = name, "stopping");
    }

    /// The next one that comes a second later at least: a terminal and a process manager
    /// may both send one for the same wish, as RQ's workers know.
    pub(crate) async fn next_after_a_second(&mut self) {
        let deaf_until = Instant::now() + Duration::from_secs(1);
        loop {
            self.next().await;
            if Instant::now() >= deaf_until {
                return;
            }
        }
    }
}
