//! The subcommands, one file each: options, `run`.

pub(crate) mod archive;
pub(crate) mod cache;
pub(crate) mod check_config;
pub(crate) mod journal;
pub(crate) mod long;
pub(crate) mod migrate;
mod open_files;
pub(crate) mod partition;
pub(crate) mod rebuild;
pub(crate) mod reconcile;
pub(crate) mod retention;
pub(crate) mod safe_mode;
pub(crate) mod serve;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves when the process is told to stop: SIGTERM (a supervisor) or SIGINT (Ctrl-C).
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
}

/// Listens to SIGTERM and SIGINT.
///
/// # Errors
/// If the signals cannot be listened to.
pub(crate) fn stop_signals() -> std::io::Result<StopSignals> {
    Ok(StopSignals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

impl StopSignals {
    /// The next one.
    pub(crate) async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
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
