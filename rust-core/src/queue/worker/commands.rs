//! What an operator tells a running worker, over the channel that RQ's workers listen to.

use std::time::Duration;

use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::QueueWorker;
use crate::queue::keys;

/// Pause before a channel is opened again that was lost.
const AGAIN: Duration = Duration::from_secs(2);

/// A command of RQ's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Finish what was taken and end (`send_shutdown_command`).
    Shutdown,
    /// Stop this job (`send_stop_job_command`; "Force Stop Job" in Desk).
    StopJob(String),
}

#[derive(Deserialize)]
struct Message {
    command: String,
    job_id: Option<String>,
}

impl QueueWorker {
    /// Passes on what operators tell this worker, until the receiver is gone. Where the
    /// bench's Redis user may not subscribe (Redis 7's default gives it no channel) this says
    /// so once and ends.
    pub async fn listen(&self, commands: mpsc::Sender<Command>) {
        loop {
            let channel = keys::pubsub(&self.name);
            match self.redis.subscribe(&channel).await {
                Ok(mut channel) => {
                    let mut messages = channel.on_message();
                    loop {
                        let message = tokio::select! {
                            message = messages.next() => message,
                            () = commands.closed() => return,
                        };
                        let Some(message) = message else { break };
                        let Some(command) = read(message.get_payload_bytes()) else {
                            continue;
                        };
                        tracing::info!(worker = self.name, ?command, "An operator's command");
                        if commands.send(command).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) if error.is_refused => {
                    tracing::warn!(
                        worker = self.name,
                        error = ?error.error,
                        "The Redis user may not subscribe: this worker cannot be told over RQ \
                         to stop, or to stop a job; `rq suspend` and signals work"
                    );
                    return;
                }
                Err(error) => {
                    tracing::debug!(worker = self.name, error = ?error.error, "No channel");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = commands.closed() => return,
            }
        }
    }
}

/// A command that we know. RQ's `kill-horse` has no meaning without a process for each job.
fn read(payload: &[u8]) -> Option<Command> {
    let message: Message = serde_json::from_slice(payload).ok()?;
    match (message.command.as_str(), message.job_id) {
        ("shutdown", _) => Some(Command::Shutdown),
        ("stop-job", Some(job_id)) => Some(Command::StopJob(job_id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_rq() {
        let stop = br#"{"command": "stop-job", "job_id": "a||b"}"#;
        assert_eq!(read(stop), Some(Command::StopJob("a||b".to_owned())));
        assert_eq!(read(br#"{"command": "shutdown"}"#), Some(Command::Shutdown));
        for other in [
            &b"{\"command\": \"kill-horse\"}"[..],
            b"{\"command\": \"stop-job\"}",
            b"\xff",
            b"1",
        ] {
            assert_eq!(read(other), None);
        }
    }
}
