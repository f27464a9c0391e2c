//! The subcommands, one file each: options, `run`.

pub(crate) mod check_config;
pub(crate) mod journal;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod worker;

/// Resolves when the process is told to stop: SIGTERM (a supervisor) or SIGINT (Ctrl-C).
///
/// # Errors
/// If the signals cannot be listened to.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    })
}
