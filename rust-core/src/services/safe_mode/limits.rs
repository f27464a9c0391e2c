//! Whether a read without the cache is let in: this host's words, and all hosts' Redis.
//!
//! The words of the host can refuse alone. Where they do not, the queue Redis decides, for
//! all hosts, in one round trip, and the words only note what was let in. Where it does not
//! answer at once, the words decide.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::counters::{Counters, Limits, Student, Wait};
use crate::config::SrsConfig;
use crate::queue::{HostLimits, Turn};
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// How long a read waits for the queue Redis. A few times what one takes that is there.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a process does without a queue Redis that did not answer in time.
const PAUSE: Duration = Duration::from_secs(1);

/// What the site's configuration allows.
pub(super) fn of(config: &SrsConfig) -> Limits {
    Limits {
        all: config.safe_mode_global_limit,
        student_ms: config.safe_mode_user.as_millis() as u64,
    }
}

/// Milliseconds, as the words have it.
pub(super) fn millis(at: UtcMicros) -> u64 {
    u64::try_from(at.0 / 1000).unwrap_or(0)
}

/// The other hosts, as far as the queue Redis speaks for them.
pub(super) struct Hosts {
    limits: HostLimits,
    away_until: Mutex<Option<Instant>>,
}

impl Hosts {
    pub(super) fn new(limits: HostLimits) -> Self {
        Self {
            limits,
            away_until: Mutex::default(),
        }
    }

    /// The answer of the queue Redis, if it comes at once.
    pub(super) async fn ask<'a, T, F>(
        &'a self,
        question: impl FnOnce(&'a HostLimits) -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T>> + 'a,
    {
        let away_until = || {
            self.away_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if away_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let error = match timeout(PATIENCE, question(&self.limits)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        tracing::debug!(?error, "Limits of Safe Mode are this host's for a moment");
        *away_until() = Some(Instant::now() + PAUSE);
        None
    }
}

/// Lets a read in and counts it.
///
/// # Errors
/// `RateLimited`, with the seconds to wait.
pub(super) async fn admit(
    counters: Counters<'_>,
    hosts: &Hosts,
    player: &Player,
    limits: Limits,
    now: u64,
) -> Result<()> {
    let student = Student::of(player.as_str());
    counters.look(&student, limits, now).map_err(refused)?;
    let turn = hosts.ask(|hosts| hosts.admit(player, limits.all, limits.student_ms, now));
    match turn.await {
        Some(Turn::In) => {
            counters.record(&student, now);
            Ok(())
        }
        Some(Turn::AllWait(ms)) => {
            counters.hosts_are_full(ms, now);
            Err(refused(Wait::All(ms)))
        }
        Some(Turn::StudentWaits(ms)) => Err(refused(Wait::Student(ms))),
        None => counters.admit(&student, limits, now).map_err(refused),
    }
}

/// Rounded up, so that who comes back then is let in.
pub(super) fn refused(wait: Wait) -> Error {
    let (who, ms) = match wait {
        Wait::All(ms) => ("Too many students at once", ms),
        Wait::Student(ms) => ("Too many requests", ms),
    };
    let seconds = ms.div_ceil(1000).max(1);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let message = format!("{who}: please wait {seconds} {unit} and try again");
    Error::new(ErrorKind::RateLimited, message).with_retry_after(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        for (wait, message, seconds) in [
            (
                Wait::Student(29_001),
                "Too many requests: please wait 30 seconds and try again",
                30,
            ),
            (
                Wait::Student(1),
                "Too many requests: please wait 1 second and try again",
                1,
            ),
            (
                Wait::All(60_000),
                "Too many students at once: please wait 60 seconds and try again",
                60,
            ),
        ] {
            let error = refused(wait);
            assert_eq!(error.kind(), ErrorKind::RateLimited);
            assert_eq!(error.message(), message);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        }
    }
}
