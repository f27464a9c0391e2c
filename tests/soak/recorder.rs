//! What the students were told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use memora_tests::soak::evidence::{Answered, Fault, Outcome, Read, Submit, Try};

/// Everything so far.
pub(crate) struct Recorder {
    submits: Mutex<Vec<Submit>>,
    reads: Mutex<Vec<Read>>,
    faults: Mutex<Vec<Fault>>,
    /// Since when.
    pub(crate) began: Instant,
    /// Submits acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Reads answered.
    pub(crate) answered: AtomicU64,
    /// Of both, degraded.
    pub(crate) degraded: AtomicU64,
    /// Answers of 503.
    pub(crate) busy: AtomicU64,
    /// Answers of 429.
    pub(crate) limited: AtomicU64,
    /// Answers of 409.
    pub(crate) conflicts: AtomicU64,
    /// Other refusals.
    pub(crate) refused: AtomicU64,
    /// Requests without an answer.
    pub(crate) unanswered: AtomicU64,
    /// Requests not sent, because too many waited already.
    pub(crate) skipped: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            submits: Mutex::default(),
            reads: Mutex::default(),
            faults: Mutex::default(),
            began: Instant::now(),
            acknowledged: AtomicU64::default(),
            answered: AtomicU64::default(),
            degraded: AtomicU64::default(),
            busy: AtomicU64::default(),
            limited: AtomicU64::default(),
            conflicts: AtomicU64::default(),
            refused: AtomicU64::default(),
            unanswered: AtomicU64::default(),
            skipped: AtomicU64::default(),
        }
    }

    /// A submit that is about to be sent; its number.
    pub(crate) fn submit(&self, submit: Submit) -> usize {
        let mut submits = lock(&self.submits);
        submits.push(submit);
        submits.len() - 1
    }

    /// Id and answers of a submit.
    pub(crate) fn contents(&self, number: usize) -> Option<(String, Vec<Answered>)> {
        let submits = lock(&self.submits);
        let submit = submits.get(number)?;
        Some((submit.id.clone(), submit.answers.clone()))
    }

    /// A request of a submit, after its answer.
    pub(crate) fn tried(&self, number: usize, one: Try) {
        self.count(&one.outcome, |ack| ack.degraded);
        let mut submits = lock(&self.submits);
        let submit = &mut submits[number];
        if submit.acknowledged().is_none() && matches!(one.outcome, Outcome::Good(_)) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        submit.tries.push(one);
    }

    /// A request with a submit's id and other answers, after its answer.
    pub(crate) fn other(&self, number: usize, one: Try) {
        self.count(&one.outcome, |ack| ack.degraded);
        lock(&self.submits)[number].others.push(one);
    }

    /// Whether a submit was acknowledged.
    pub(crate) fn is_acknowledged(&self, number: usize) -> bool {
        let submits = lock(&self.submits);
        submits[number].acknowledged().is_some()
    }

    /// A read, after its answer.
    pub(crate) fn read(&self, read: Read) {
        self.count(&read.outcome, |session| session.degraded);
        if matches!(read.outcome, Outcome::Good(_)) {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        lock(&self.reads).push(read);
    }

    /// A fault, after its healing.
    pub(crate) fn fault(&self, fault: Fault) {
        lock(&self.faults).push(fault);
    }

    /// How many faults there were.
    pub(crate) fn faults(&self) -> usize {
        lock(&self.faults).len()
    }

    /// Everything; nothing is left.
    pub(crate) fn take(&self) -> (Vec<Submit>, Vec<Read>, Vec<Fault>) {
        (
            std::mem::take(&mut lock(&self.submits)),
            std::mem::take(&mut lock(&self.reads)),
            std::mem::take(&mut lock(&self.faults)),
        )
    }

    fn count<T>(&self, outcome: &Outcome<T>, degraded: impl Fn(&T) -> bool) {
        let counter = match outcome {
            Outcome::Good(good) if degraded(good) => &self.degraded,
            Outcome::Good(_) => return,
            Outcome::Refused(refusal) => match refusal.status {
                503 => &self.busy,
                429 => &self.limited,
                409 => &self.conflicts,
                _ => &self.refused,
            },
            Outcome::Unanswered => &self.unanswered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
