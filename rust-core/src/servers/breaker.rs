//! A circuit breaker: notices from the commands themselves that a server is away, and
//! spares everybody else the waiting.
//!
//! ```text
//!           a time-out, or 3 failures in a row           a probe is answered
//!   CLOSED ────────────────────────────────────▶ OPEN ────────────────────────▶ BACK
//!     ▲                                            ▲      fails again             │
//!     │                                            └──────────────────────────────┤
//!     └───────────────────────────── recovered ───────────────────────────────────┘
//! ```
//!
//! While it is open no command is sent, and one probe at a time looks whether the server
//! answers. *Back* is for a server that holds something: it is asked again, but what it
//! says is not believed until what was missed has been made good. One that holds nothing
//! of that kind closes at once.
//!
//! An outage lasts from the first opening until it is closed: a server that comes and goes
//! has one long outage, told about once.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::types::UtcMicros;

/// Failures in a row after which it opens, where each comes at once.
const FAILURES: u32 = 3;
/// From the end of a probe to the next.
const PROBE_PAUSE: Duration = Duration::from_millis(500);
/// Longer than any probe takes: one whose task was lost is not waited for any longer.
const PROBE_LOST: Duration = Duration::from_secs(10);

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const BACK: u8 = 2;

/// An outage: the present one, or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outage {
    /// Counts this process's outages; 0 before the first.
    pub number: u64,
    /// When it was noticed.
    pub began: Option<UtcMicros>,
    /// When it was over; `None` while it lasts, and before the first.
    pub ended: Option<UtcMicros>,
}

impl Outage {
    /// Whether it lasts.
    pub fn is_active(&self) -> bool {
        self.began.is_some() && self.ended.is_none()
    }
}

/// What a server is to us, which decides how its outage ends and what is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Schedules: Safe Mode lasts until what was missed is made good.
    Schedules,
    /// Sessions alone, which are Frappe's to keep: over when it answers.
    Sessions,
}

/// What it thinks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It answers.
    Closed,
    /// It is away: no command is sent.
    Open,
    /// It answers again, and what it missed is being made good.
    Back,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Back];

    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Back => "back",
        }
    }
}

/// See the module's documentation.
pub struct Breaker {
    site: String,
    holds: Holds,
    /// One of `CLOSED`, `OPEN`, `BACK`; written under `inner`.
    state: AtomicU8,
    /// Failures in a row.
    failures: AtomicU8,
    /// How often the server came back; written under `inner`.
    returns: AtomicU64,
    /// Held for an instant.
    inner: Mutex<Inner>,
    outages: watch::Sender<Outage>,
}

struct Inner {
    began: Instant,
    next_probe: Instant,
}

impl Breaker {
    /// A closed one for a server of `site`.
    pub fn new(site: &str, holds: Holds) -> Self {
        let now = Instant::now();
        Self {
            site: site.to_owned(),
            holds,
            state: AtomicU8::new(CLOSED),
            failures: AtomicU8::new(0),
            returns: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                began: now,
                next_probe: now,
            }),
            outages: watch::Sender::new(Outage::default()),
        }
    }

    /// Whether an outage lasts: the server is away, or not believed yet.
    pub fn is_active(&self) -> bool {
        self.state.load(Ordering::Acquire) != CLOSED
    }

    /// What it thinks of the server now.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            CLOSED => State::Closed,
            BACK => State::Back,
            _ => State::Open,
        }
    }

    /// Whether no command is to be sent.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// If the server answers again, and is not believed yet: which of its returns that is.
    pub fn is_back(&self) -> Option<u64> {
        let back = self.state.load(Ordering::Acquire) == BACK;
        back.then(|| self.returns.load(Ordering::Acquire))
    }

    /// Tells of every outage's beginning and end. Of several changes between two looks only
    /// the last is seen; the number tells.
    pub fn subscribe(&self) -> watch::Receiver<Outage> {
        self.outages.subscribe()
    }

    /// The present outage, or the last one.
    pub fn outage(&self) -> Outage {
        *self.outages.borrow()
    }

    /// A command was answered.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A command, or connecting, failed over the server's absence. A time-out cost somebody
    /// most of a second, so it opens at once.
    pub(super) fn failed(&self, timed_out: bool) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if !timed_out && u32::from(failures) < FAILURES {
            return;
        }
        self.open();
    }

    /// Begins an outage that others know of, or that was not made good before this process
    /// knew the server: nothing is believed until then.
    pub(crate) fn open(&self) {
        let mut inner = self.inner();
        let before = self.state.swap(OPEN, Ordering::AcqRel);
        self.failures.store(0, Ordering::Relaxed);
        if before == OPEN {
            return;
        }
        let now = Instant::now();
        inner.next_probe = now + PROBE_PAUSE;
        if before == BACK {
            return;
        }
        inner.began = now;
        self.outages.send_modify(|outage| {
            *outage = Outage {
                number: outage.number + 1,
                began: Some(UtcMicros::now()),
                ended: None,
            };
        });
        drop(inner);
        let site = &self.site;
        match self.holds {
            Holds::Schedules => {
                tracing::warn!(
                    site,
                    "Safe Mode begins: the Redis with the schedules is away"
                );
            }
            Holds::Sessions => tracing::warn!(site, "The Redis with the sessions is away"),
        }
    }

    /// Whether the caller is to probe now. Who claims it says how it ended ([`Self::probed`]).
    pub(super) fn claim_probe(&self) -> bool {
        if !self.is_open() {
            return false;
        }
        let mut inner = self.inner();
        let now = Instant::now();
        if now < inner.next_probe {
            return false;
        }
        inner.next_probe = now + PROBE_LOST;
        true
    }

    /// A probe ended.
    pub(super) fn probed(&self, answered: bool) {
        let mut inner = self.inner();
        inner.next_probe = Instant::now() + PROBE_PAUSE;
        if !answered || !self.is_open() {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        match self.holds {
            Holds::Schedules => {
                self.returns.fetch_add(1, Ordering::AcqRel);
                self.state.store(BACK, Ordering::Release);
                drop(inner);
                tracing::info!(
                    site = self.site,
                    "The Redis with the schedules answers; making good what it missed"
                );
            }
            Holds::Sessions => self.close(inner),
        }
    }

    /// What was missed until this return of the server is made good; nothing happens if it
    /// went away again meanwhile.
    pub(crate) fn recovered(&self, number: u64) {
        let inner = self.inner();
        if self.is_back() == Some(number) {
            self.close(inner);
        }
    }

    fn close(&self, inner: MutexGuard<'_, Inner>) {
        self.state.store(CLOSED, Ordering::Release);
        self.outages
            .send_modify(|outage| outage.ended = Some(UtcMicros::now()));
        let duration_ms = u64::try_from(inner.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        drop(inner);
        let site = &self.site;
        match self.holds {
            Holds::Schedules => tracing::warn!(site, duration_ms, "Safe Mode ends"),
            Holds::Sessions => {
                tracing::warn!(
                    site,
                    duration_ms,
                    "The Redis with the sessions answers again"
                );
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next_probe(breaker: &Breaker) {
        assert!(!breaker.claim_probe());
        tokio::time::advance(PROBE_PAUSE).await;
        assert!(breaker.claim_probe());
        assert!(!breaker.claim_probe(), "one probe at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_open_it_in_a_row_only_and_a_time_out_at_once() {
        let breaker = Breaker::new("a.test", Holds::Schedules);
        for _ in 0..5 {
            breaker.failed(false);
            breaker.failed(false);
            breaker.succeeded();
        }
        assert!(!breaker.is_active());
        for _ in 0..3 {
            breaker.failed(false);
        }
        assert!(breaker.is_open());

        let breaker = Breaker::new("a.test", Holds::Schedules);
        breaker.failed(true);
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_lasts_until_what_was_missed_is_made_good() {
        let breaker = Breaker::new("a.test", Holds::Schedules);
        let mut told = breaker.subscribe();
        breaker.failed(true);
        assert!(told.borrow_and_update().is_active());
        next_probe(&breaker).await;
        breaker.probed(false);
        next_probe(&breaker).await;
        breaker.probed(true);
        assert_eq!(breaker.is_back(), Some(1));
        // Away again: the same outage, and nobody is told.
        breaker.failed(true);
        breaker.recovered(1);
        assert!(breaker.is_open());
        assert!(!told.has_changed().unwrap());
        next_probe(&breaker).await;
        breaker.probed(true);
        breaker.recovered(1);
        assert!(breaker.is_active());
        breaker.recovered(2);
        assert!(!breaker.is_active());
        assert!(!told.borrow_and_update().is_active());
        breaker.failed(true);
        assert_eq!(breaker.outage().number, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_held_an_answer_is_enough() {
        let breaker = Breaker::new("a.test", Holds::Sessions);
        breaker.failed(true);
        next_probe(&breaker).await;
        breaker.probed(true);
        assert!(!breaker.is_active());
    }
}
