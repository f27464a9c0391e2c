//! What this process knows of submits without a row.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::batch::{Batch, Submission};
use crate::types::{Player, Season};

/// Submits that this process keeps in mind. Of more it relies on queue and spool.
const IN_MIND: usize = 1024;
/// How long the queue's Redis is left alone after it was too slow or away.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// How long those who acknowledged without the journal have to keep their entries again
/// ([`super::RENEWAL`]) on a queue's Redis that was started anew.
const DOUBTED: Duration = Duration::from_secs(3);

/// See the module's documentation.
pub(in crate::services) struct Memory {
    state: Mutex<State>,
    /// Whether the queue's Redis has ever said whether the site has entries.
    was_told: AtomicBool,
    /// Whether it has, of whomever: so it was said last, or there is one of ours.
    has_some: AtomicBool,
    /// Until when the queue's Redis is not asked again.
    left_alone: Mutex<Option<Instant>>,
    queue: Mutex<Queue>,
    /// What the same site still has to do under an earlier configuration.
    before: Option<Arc<Memory>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Submission>,
    /// Whether a task works them off.
    worked_off: bool,
    /// Whether the queue's Redis may have lost the entry of one that waits.
    may_be_hidden: bool,
}

/// The queue's Redis, as this process knows it.
#[derive(Default, Clone)]
struct Queue {
    /// Its process that answered last; `None` before the first.
    instance: Option<String>,
    /// Until when entries may be missing there that other processes are keeping again.
    doubted_until: Option<Instant>,
}

impl Memory {
    /// Of a site that is about to be, after the same under an earlier configuration; with
    /// `same_queue`, what that was told holds.
    pub(in crate::services) fn after(before: Option<&Arc<Self>>, same_queue: bool) -> Arc<Self> {
        let told = before.filter(|before| same_queue && before.was_told());
        Arc::new(Self {
            state: Mutex::default(),
            was_told: AtomicBool::new(told.is_some()),
            has_some: AtomicBool::new(told.is_some_and(|told| told.may_be_some())),
            left_alone: Mutex::default(),
            queue: Mutex::new(told.map(|told| told.queue().clone()).unwrap_or_default()),
            before: before.filter(|before| before.is_waiting()).cloned(),
        })
    }

    fn is_waiting(&self) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|before| before.is_waiting()) || !self.state().waiting.is_empty()
    }

    /// What waits of this student and season.
    pub(super) fn of(&self, player: &Player, season: &Season) -> Vec<Batch> {
        let before = self.before.as_ref();
        let mut found = before.map_or_else(Vec::new, |before| before.of(player, season));
        let state = self.state();
        let theirs = state
            .waiting
            .iter()
            .filter(|s| s.key.player == *player && s.season == *season);
        found.extend(theirs.map(|s| s.batch.clone()));
        found
    }

    /// Keeps a submit in mind; whether the caller is to begin to work them off.
    pub(super) fn keep(&self, submission: Submission) -> bool {
        self.has_some.store(true, Ordering::Relaxed);
        let mut state = self.state();
        if state.waiting.len() >= IN_MIND {
            return false;
        }
        state.waiting.push_back(submission);
        !std::mem::replace(&mut state.worked_off, true)
    }

    /// The next that wait, so many at most.
    pub(super) fn next(&self, most: usize) -> Vec<Submission> {
        self.state().waiting.iter().take(most).cloned().collect()
    }

    /// So many of the next are done.
    pub(super) fn done(&self, count: usize) {
        self.state().waiting.drain(..count);
    }

    /// They are left to others.
    pub(super) fn give_up(&self) {
        self.state().waiting.clear();
    }

    /// Ends the working off if nothing waits; whether it has ended.
    pub(super) fn is_worked_off(&self) -> bool {
        let mut state = self.state();
        let done = state.waiting.is_empty();
        state.worked_off &= !done;
        state.may_be_hidden &= !done;
        done
    }

    /// Whether others may not have seen what waits.
    pub(super) fn may_be_hidden(&self) -> bool {
        self.state().may_be_hidden
    }

    /// This process of the queue's Redis has answered. Another one than before may have
    /// lost entries, of which there are some only if the database was away lately.
    pub(super) fn met(&self, instance: &str, database_was_away: bool) {
        let mut queue = self.queue();
        if queue.instance.as_deref() == Some(instance) {
            return;
        }
        let is_another = queue.instance.replace(instance.to_owned()).is_some();
        if is_another && database_was_away {
            queue.doubted_until = Some(Instant::now() + DOUBTED);
        }
        drop(queue);
        let mut state = self.state();
        state.may_be_hidden |= is_another && !state.waiting.is_empty();
    }

    /// Whether entries may be missing on the queue's Redis.
    pub(super) fn is_doubted(&self) -> bool {
        let until = self.queue().doubted_until;
        until.is_some_and(|until| until > Instant::now())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Working off ended early: the next submit begins anew.
    pub(super) fn stopped(&self) {
        self.state().worked_off = false;
    }

    /// The queue's Redis says whether the site has entries.
    pub(super) fn told(&self, has_some: bool) {
        self.has_some.store(has_some, Ordering::Relaxed);
        self.was_told.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever said so.
    pub(super) fn was_told(&self) -> bool {
        self.was_told.load(Ordering::Relaxed)
    }

    /// Whether the site may have entries, as far as is known without asking.
    pub(super) fn may_be_some(&self) -> bool {
        !self.was_told() || self.has_some.load(Ordering::Relaxed)
    }

    /// The queue's Redis was too slow, or away.
    pub(super) fn leave_alone(&self) {
        *self.left_alone() = Some(Instant::now() + LEFT_ALONE);
    }

    /// Whether it is not to be asked now.
    pub(super) fn is_left_alone(&self) -> bool {
        self.left_alone()
            .is_some_and(|until| until > Instant::now())
    }

    fn left_alone(&self) -> MutexGuard<'_, Option<Instant>> {
        self.left_alone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
