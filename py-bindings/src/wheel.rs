//! Who drives the runtime: one thread at a time, the caller itself where that is possible.
//!
//! A runtime with a thread of its own costs each call two changes of threads, there and
//! back, which take longer than most commands of Redis. So the runtime is one without
//! threads, and a caller that finds the wheel free takes it: sockets are then read by the
//! thread that waits for what they bring. Callers that find it taken poll their own
//! operation, stand in line, and are told when the wheel is free.
//!
//! Work may go on when no caller waits: a fill, a connection that closes. For that there is
//! the *keeper*, a thread that takes the wheel when nobody has called for [`REST`], and
//! leaves it to the next caller.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::gate;

/// How long nobody may have called before the keeper takes the wheel. While calls follow
/// each other the keeper only looks this often.
const REST: Duration = Duration::from_millis(2);
/// The longest pause between two looks, during a call that takes long.
const LONG_REST: Duration = Duration::from_millis(32);

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Wheel {
    taken: AtomicBool,
    /// Callers that wait while another thread drives.
    line: Mutex<Vec<Thread>>,
    /// Whether it is the keeper who drives.
    kept: AtomicBool,
    /// Asks the keeper to leave.
    called: Notify,
    /// Turns that callers took.
    turns: AtomicU64,
}

/// The right to drive; given up when dropped.
pub(crate) struct Turn<'a>(&'a Wheel);

/// A place in the line; left when dropped.
pub(crate) struct Place<'a>(&'a Wheel);

impl Wheel {
    /// The wheel, if it is free.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        let taken = self.taken.swap(true, Ordering::SeqCst);
        // A turn that is not one must not even be made: dropping it would free the wheel.
        (!taken).then(|| Turn(self))
    }

    /// Has this thread told, by unparking it, when the wheel is free. Whoever stands in line
    /// asks once more: it may have become free meanwhile.
    pub(crate) fn stand_in_line(&self) -> Place<'_> {
        self.line().push(thread::current());
        if self.kept.load(Ordering::SeqCst) {
            self.called.notify_one();
        }
        Place(self)
    }

    /// Tells the next in line if nobody drives.
    fn pass_on(&self) {
        if !self.taken.load(Ordering::SeqCst)
            && let Some(next) = self.line().first()
        {
            next.unpark();
        }
    }

    fn line(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keeper's work; never returns.
    pub(crate) fn keep(&self, runtime: &Runtime) -> ! {
        loop {
            if let Some(turn) = self.take() {
                self.kept.store(true, Ordering::SeqCst);
                // Who came before that was seen stands in line, but has not asked.
                if self.line().is_empty() {
                    turn.drive(runtime, self.called.notified());
                }
                self.kept.store(false, Ordering::SeqCst);
            }
            let mut rest = REST;
            loop {
                let turns = self.turns.load(Ordering::Relaxed);
                thread::sleep(rest);
                if self.taken.load(Ordering::SeqCst) {
                    rest = LONG_REST.min(rest * 2);
                } else if self.turns.load(Ordering::Relaxed) == turns {
                    break;
                } else {
                    rest = REST;
                }
            }
        }
    }
}

impl Turn<'_> {
    /// Drives until `until` is over. Forks wait for this thread except while it waits.
    pub(crate) fn drive<F: Future>(self, runtime: &Runtime, until: F) -> F::Output {
        gate::enter();
        // The runtime's hooks leave the gate before it waits and enter it afterwards.
        let outcome = runtime.block_on(until);
        gate::leave();
        outcome
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
        self.0.pass_on();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let here = thread::current().id();
        self.0.line().retain(|waiting| waiting.id() != here);
        // It may have been this thread that was told.
        self.0.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_a_taken_wheel_leaves_it_taken() {
        let wheel = Wheel::default();
        let turn = wheel.take().unwrap();
        assert!(wheel.take().is_none());
        assert!(wheel.take().is_none());
        drop(turn);
        assert!(wheel.take().is_some());
    }
}
