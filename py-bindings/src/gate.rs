//! The gate that keeps forks and the engine's work apart ([`crate::runtime`] says why).
//!
//! Nobody waits for the interpreter inside the gate, so a fork may wait for it while it
//! holds the GIL.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a fork waits for work under way. Far longer than a turn of anything takes;
/// a process that cannot fork would be worse than a child that may hang.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(50);

/// Threads at work.
static WORKING: AtomicUsize = AtomicUsize::new(0);
/// Forks under way.
static FORKING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is counted as working.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Begins work, once no fork is under way. Nothing happens if this thread is at work.
pub(crate) fn enter() {
    if INSIDE.replace(true) {
        return;
    }
    loop {
        // Announced first and looked second, as a fork closes first and looks second: one
        // of the two sees the other.
        WORKING.fetch_add(1, Ordering::SeqCst);
        if FORKING.load(Ordering::SeqCst) == 0 {
            return;
        }
        WORKING.fetch_sub(1, Ordering::SeqCst);
        while FORKING.load(Ordering::SeqCst) > 0 {
            thread::sleep(PAUSE);
        }
    }
}

/// Ends work, if this thread is at it.
pub(crate) fn leave() {
    if INSIDE.replace(false) {
        WORKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Before a fork: lets nobody begin, and waits for those at work.
pub(crate) extern "C" fn close_for_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    // A thread that forks while it works cannot wait for itself.
    let own = usize::from(INSIDE.get());
    let until = Instant::now() + PATIENCE;
    while WORKING.load(Ordering::SeqCst) > own && Instant::now() < until {
        thread::sleep(PAUSE);
    }
}

/// After a fork, in the process that forked.
pub(crate) extern "C" fn open_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// After a fork, in the child: of all threads only this one is left.
pub(crate) fn open_in_child() {
    FORKING.store(0, Ordering::SeqCst);
    WORKING.store(usize::from(INSIDE.get()), Ordering::SeqCst);
}
