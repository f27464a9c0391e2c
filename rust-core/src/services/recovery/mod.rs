//! What the cache may lack, and making it good (rule C10): before a student is served from
//! Redis again, the cache holds everything that was accepted meanwhile.
//!
//! # Who is not believed
//!
//! - *Everybody*, while the [`Breaker`] over the Redis with the schedules is not closed:
//!   Safe Mode. Redis does not answer, or it does again and is being made good.
//! - A *dirty* student: a write to the cache could not be confirmed. Whoever met that notes
//!   it in memory ([`memory`]) and on the queue Redis ([`DirtyList`]), which every process
//!   looks at each second ([`poll`]). Dirty students are answered by the table and what is
//!   laid over it, as if nothing were cached, and no fill publishes their schedules.
//!
//! # Making it good
//!
//! Forgetting a schedule is enough: the next fill reads everything ([`heal`]). Whoever
//! reaches the cache does so for its own notes and for those on the list, takes off what was
//! not noted again meanwhile, and marks the journal rows concerned (`cached_at`). The breaker
//! closes when notes, list and journal are done: a row whose `cached_at` is NULL may have
//! been accepted by a process that died with the knowledge. If the list cannot be read,
//! anybody may be on it, and every schedule is forgotten.
//!
//! Who reaches neither cache nor list could tell nobody that the cache lacks what they apply.
//! They leave overdue rows to others for a while ([`Recovery::is_cut_off`]): a degraded answer
//! shows at the latest when it is applied.
//!
//! Any number of processes may heal at once; all that costs is a fill.
//!
//! # Who looks after it
//!
//! In sidecar and worker a task ([`keep()`]). Frappe's processes have none: there each
//! operation that meets the cache looks first, at most once a second, and what takes longer
//! goes on on the engine's own thread while the process lives.

mod heal;
mod keep;
mod memory;
mod poll;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

pub use self::keep::keep;
pub(super) use self::keep::look_for_rows;

use self::memory::Memory;
use self::poll::Poll;
use super::Site;
use crate::queue::{DirtyList, Mark};
use crate::servers::breaker::Breaker;
use crate::servers::redis::{RedisLink, was_not_sent};
use crate::types::{Player, Season};
use crate::{Error, ErrorKind, Result};

/// How long whoever could not confirm a write waits for the list to take the note. The note
/// in memory stands without it, and is brought to the list later.
const LIST_BUDGET: Duration = Duration::from_millis(150);
/// When to come back in Safe Mode, where nothing but the cache can answer.
const SAFE_MODE: Duration = Duration::from_secs(5);
/// Pause after healing failed.
const RETRY: Duration = Duration::from_millis(500);

/// What a read may believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The cache.
    Cache,
    /// The student is dirty: the table alone, with what is laid over it.
    Table,
    /// Safe Mode.
    SafeMode,
}

/// One site's part. See the module's documentation.
pub struct Recovery {
    /// The site itself, for tasks that nobody waits for.
    site: Weak<Site>,
    memory: Arc<Memory>,
    list: DirtyList,
    breaker: Arc<Breaker>,
    /// The Redis with the schedules.
    cache: Arc<RedisLink>,
    queue: Arc<RedisLink>,
    poll: Poll,
    /// Held while healing.
    healing: Arc<tokio::sync::Mutex<()>>,
    /// After a failure: when to try again, and what was said about it.
    failed: Mutex<Option<(Instant, String)>>,
    keeper: keep::Keeper,
}

impl Recovery {
    /// For a site that is about to be. `before` is the same site under an earlier
    /// configuration: what it knows stays known.
    pub(super) fn new(
        site: Weak<Site>,
        name: &str,
        breaker: Arc<Breaker>,
        cache: Arc<RedisLink>,
        queue: Arc<RedisLink>,
        before: Option<&Self>,
    ) -> Self {
        if before.is_some_and(|before| before.breaker.is_active()) {
            breaker.open();
        }
        Self {
            site,
            memory: before.map_or_else(Arc::default, |before| before.memory.clone()),
            list: DirtyList::new(queue.clone(), name),
            breaker,
            cache,
            queue,
            poll: Poll::default(),
            healing: Arc::default(),
            failed: Mutex::default(),
            keeper: keep::Keeper::default(),
        }
    }

    /// What a read of this student may believe now. Waits for nothing in Safe Mode, and
    /// otherwise at most once a second for one round trip to the queue Redis.
    pub(super) async fn trust(&self, player: &Player, season: &Season) -> Trust {
        if self.breaker.is_active() {
            self.nudge();
            return Trust::SafeMode;
        }
        self.look().await;
        if !self.memory.holds(player, season) {
            return Trust::Cache;
        }
        self.nudge();
        Trust::Table
    }

    /// Whether what the cache holds of this student may be shown to somebody who asks for
    /// that alone.
    ///
    /// # Errors
    /// `Unavailable` in Safe Mode.
    pub(super) async fn is_believed(&self, player: &Player, season: &Season) -> Result<bool> {
        match self.trust(player, season).await {
            Trust::Cache => Ok(true),
            Trust::Table => Ok(false),
            Trust::SafeMode => Err(Error::unavailable("Redis is not available", SAFE_MODE)),
        }
    }

    /// Passes on what came of a write from outside, whose author is told. Only where that
    /// leaves open whether it was done, the student is noted.
    pub(super) async fn outcome<T>(
        &self,
        player: &Player,
        season: &Season,
        outcome: Result<T>,
    ) -> Result<T> {
        if let Err(error) = &outcome
            && !was_not_sent(error)
        {
            self.unconfirmed(&[(player, season)]).await;
        }
        outcome
    }

    /// Whether a fill may publish this student's schedule, as far as is known now.
    pub(super) fn may_publish(&self, player: &Player, season: &Season) -> bool {
        let may = !self.breaker.is_active() && !self.memory.holds(player, season);
        if !may {
            self.nudge();
        }
        may
    }

    /// Notes students whose schedule in the cache may lack something that was accepted.
    /// In memory when it returns, and within a moment on the list.
    pub(super) async fn unconfirmed(&self, students: &[(&Player, &Season)]) {
        let notes: Vec<_> = students
            .iter()
            .map(|(player, season)| {
                let mark = Mark::new();
                (self.memory.note(player, season, mark.clone()), mark)
            })
            .collect();
        if self.is_list_away() {
            // They are brought there when it is back.
            self.nudge();
            return;
        }
        let listing = notes.iter().map(async |(whose, mark)| {
            let listed = self.list.mark(whose, mark).await;
            if listed.is_ok() {
                self.memory.listed(whose, mark);
            }
            listed
        });
        match timeout(LIST_BUDGET, join_all(listing)).await {
            Ok(listed) => {
                if let Some(Err(error)) = listed.into_iter().find(Result::is_err) {
                    tracing::debug!(?error, "Dirty students are noted in memory alone");
                }
            }
            Err(_) => tracing::debug!("Dirty students are noted in memory alone for now"),
        }
        self.nudge();
    }

    /// Goes on with whatever is due, in a task of its own; returns at once.
    pub(super) fn nudge(&self) {
        if self.breaker.is_open() {
            self.cache.nudge();
            return;
        }
        let is_due = self.breaker.is_back().is_some() || self.memory.any();
        if !is_due || self.pausing() {
            return;
        }
        let (Ok(turn), Some(site)) = (self.healing.clone().try_lock_owned(), self.site.upgrade())
        else {
            return;
        };
        tokio::spawn(async move {
            let outcome = heal::run(&site).await;
            site.recovery.note_outcome(outcome);
            drop(turn);
        });
    }

    fn pausing(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed
            .as_ref()
            .is_some_and(|(until, _)| *until > Instant::now())
    }

    /// Says a failure once, not at each try.
    fn note_outcome(&self, outcome: Result<()>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = outcome else {
            *failed = None;
            return;
        };
        let said = error.message().to_owned();
        if failed.as_ref().is_none_or(|(_, before)| *before != said) {
            tracing::warn!(?error, "What the cache may lack could not be made good yet");
        }
        *failed = Some((Instant::now() + RETRY, said));
    }
}

impl Site {
    /// The breaker over the Redis with the schedules: whether Safe Mode lasts, and who wants
    /// to be told when it begins and ends.
    pub fn safe_mode(&self) -> &Breaker {
        &self.recovery.breaker
    }

    /// What somebody is told for whom MariaDB was the last resort: in Safe Mode, when to
    /// come back is another time than over a busy moment.
    #[must_use]
    pub fn in_outage(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Unavailable if self.safe_mode().is_active() => {
                error.with_retry_after(SAFE_MODE)
            }
            _ => error,
        }
    }
}
