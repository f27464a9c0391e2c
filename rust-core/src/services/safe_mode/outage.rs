//! One notice when an outage begins and one when it ends, however many notice.
//!
//! All processes of the host keep in its words which outage there is and what was told of
//! it; of several hosts the queue Redis names one ([`OutageBoard`]). Administrators are
//! told by a job for Python (`memora.services.safe_mode_notices.tell`: mail and Desk). While
//! the queue is away, what is to be told waits in the words, and is queued by whoever next
//! comes by: a read, or a sweep. Of an outage that is over by then only the end is told,
//! with its beginning; of several, the last.
//!
//! An outage ends when a process that was cut off reads from the cache again and no other
//! of the host has read without it for some seconds. If all those have died, a sweep finds
//! out.
//!
//! The log says both in any case, once a host.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::counters::{Counters, Word};
use super::limits::millis;
use super::shared_file::Words;
use crate::metrics::metrics;
use crate::queue::{Event, OutageBoard, Requeued, Telling};
use crate::services::Site;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// Milliseconds without a degraded read on the host after which an outage may be over, and
/// after its end until another may begin: one that comes and goes is one.
const QUIET_MS: u64 = 5_000;
/// Milliseconds of silence after which whoever sweeps looks whether the outage is over.
const SILENCE_MS: u64 = 60_000;
/// How long telling may hold up the read, or the sweep, that came by.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a process waits before it tries to tell again.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a process tells other hosts that this one is cut off still.
const REFRESH: Duration = Duration::from_secs(60);

/// What a process remembers of its own.
pub(super) struct Notices {
    board: OutageBoard,
    /// When it last read without the cache, milliseconds; 0 if it has read from the cache
    /// since.
    degraded_at: AtomicU64,
    /// Whether it could not tell, when it last tried.
    untold: AtomicBool,
    next_try: Mutex<Option<Instant>>,
}

impl Notices {
    pub(super) fn after(before: Option<&Self>, board: OutageBoard) -> Self {
        let untold = before.is_some_and(|before| before.untold.load(Ordering::Relaxed));
        Self {
            board,
            degraded_at: AtomicU64::new(before.map_or(0, Self::degraded_at)),
            untold: AtomicBool::new(untold),
            next_try: Mutex::default(),
        }
    }

    /// When this process last read without the cache; 0 if it has read from it since.
    pub(super) fn degraded_at(&self) -> u64 {
        self.degraded_at.load(Ordering::Relaxed)
    }

    /// Whether it is time to try, and sets the next time.
    fn may_try(&self, pause: Duration) -> bool {
        let mut next_try = self.next_try.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = next_try.is_none_or(|next| next <= now);
        if may {
            *next_try = Some(now + pause);
        }
        may
    }

    /// What changed is to be told at once.
    fn try_now(&self) {
        *self.next_try.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The cache is away: notes it, and tells administrators if nobody has.
pub(super) async fn began(site: &Site) {
    let now = millis(UtcMicros::now());
    let notices = &site.limits.notices;
    notices.degraded_at.store(now.max(1), Ordering::Relaxed);
    let words = site.limits.file.words();
    if begin(words.counters(), now) {
        tracing::error!(
            site = site.config.site,
            "The Redis with the schedules is away: reads come from the table, within limits"
        );
        metrics().safe_mode_outage(&site.config.site);
        notices.try_now();
    }
    deliver_from(site, &words).await;
}

/// A read came from the cache: ends the outage that this process was cut off by.
pub(super) async fn healthy(site: &Site) {
    let notices = &site.limits.notices;
    let was_cut_off = notices.degraded_at() != 0;
    if !was_cut_off && !notices.untold.load(Ordering::Relaxed) {
        return;
    }
    Box::pin(make_good(site, was_cut_off)).await;
}

async fn make_good(site: &Site, was_cut_off: bool) {
    let notices = &site.limits.notices;
    let now = millis(UtcMicros::now());
    let words = site.limits.file.words();
    if was_cut_off && quiet(words.counters(), now) >= QUIET_MS {
        notices.degraded_at.store(0, Ordering::Relaxed);
        end(site, words.counters(), now);
    }
    deliver_from(site, &words).await;
}

/// Tells administrators what nobody could tell them yet. For those who come by now and
/// then: also looks whether an outage is over of which nobody has said anything for long.
pub(crate) async fn deliver(site: &Site) {
    let Some(words) = site.limits.file.words_if_there() else {
        return;
    };
    let (counters, now) = (words.counters(), millis(UtcMicros::now()));
    if counters.get(Word::OutageBegan) != 0
        && quiet(counters, now) >= SILENCE_MS
        && !super::is_active(site).await
    {
        end(site, counters, now);
    }
    deliver_from(site, &words).await;
}

/// Whether this call begins an outage.
fn begin(counters: Counters<'_>, now: u64) -> bool {
    counters.set(Word::LastDegraded, now);
    let ended = counters.get(Word::PastEnded);
    let again = ended <= now && now < ended + QUIET_MS;
    counters.get(Word::OutageBegan) == 0 && !again && counters.change(Word::OutageBegan, 0, now)
}

fn end(site: &Site, counters: Counters<'_>, now: u64) {
    let began = counters.get(Word::OutageBegan);
    if began == 0 {
        return;
    }
    // The order in which a process may be killed: an outage that is over is never lost.
    counters.set(Word::PastEnded, now);
    counters.set(Word::PastBegan, began);
    if counters.change(Word::OutageBegan, began, 0) {
        let seconds = now.saturating_sub(began) / 1000;
        tracing::warn!(
            site = site.config.site,
            seconds,
            "The outage of the Redis with the schedules is over"
        );
        site.limits.notices.try_now();
    }
}

/// Milliseconds since anybody of the host read without the cache; a time ahead of the
/// clock is long ago.
fn quiet(counters: Counters<'_>, now: u64) -> u64 {
    let last = counters.get(Word::LastDegraded);
    if last > now + QUIET_MS {
        return u64::MAX;
    }
    now.saturating_sub(last)
}

async fn deliver_from(site: &Site, words: &Words) {
    let counters = words.counters();
    let (began, past) = (
        counters.get(Word::OutageBegan),
        counters.get(Word::PastBegan),
    );
    let end_due = past != 0 && counters.get(Word::EndTold) != past;
    let begin_due = began != 0 && counters.get(Word::BeginTold) != began;
    let notices = &site.limits.notices;
    if !end_due && began == 0 {
        notices.untold.store(false, Ordering::Relaxed);
        return;
    }
    let pause = if end_due || begin_due { PAUSE } else { REFRESH };
    if !notices.may_try(pause) {
        return;
    }
    let telling = async {
        let mut told = true;
        if end_due {
            let ended = counters.get(Word::PastEnded);
            let done = tell(site, counters, Event::Ended, past, Some(ended)).await?;
            if done {
                counters.set(Word::EndTold, past);
            }
            told &= done;
        }
        if began != 0 {
            let done = tell(site, counters, Event::Began, began, None).await?;
            if done {
                counters.set(Word::BeginTold, began);
            }
            told &= done;
        }
        Ok::<bool, Error>(told)
    };
    let outcome = timeout(PATIENCE, telling).await;
    let told = matches!(outcome, Ok(Ok(true)));
    notices.untold.store(!told, Ordering::Relaxed);
    if !told {
        tracing::debug!(?outcome, "Administrators cannot be told of Safe Mode yet");
    }
}

/// Tells it, if that is this host's task; whether it is done.
async fn tell(
    site: &Site,
    counters: Counters<'_>,
    event: Event,
    began: u64,
    ended: Option<u64>,
) -> Result<bool> {
    let board = &site.limits.notices.board;
    let now = UtcMicros::now();
    let host = counters.get(Word::Host);
    let ago = millis(now).saturating_sub(began);
    let (since, redis_now) = match board.whose(event, host, ago).await? {
        Telling::Ours { since, now } => (since, now),
        Telling::Done => return Ok(true),
        Telling::NotYet => return Ok(false),
    };
    // Both by the clock of Redis, which all hosts share.
    let ended_at = ended.map(|at| UtcMicros(redis_now.0 - micros(millis(now).saturating_sub(at))));
    let producer = &site.producer;
    let queued = producer.tell_administrators(event, since, ended_at, now);
    match queued.await? {
        Requeued::Queued | Requeued::StillThere => {}
        Requeued::HeldBack => return Ok(false),
    }
    board.told(event, host).await?;
    Ok(true)
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX)
}
