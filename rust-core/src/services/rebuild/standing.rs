//! Where a rebuild stands: counted while it runs, noted every second, told at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::batch::Outcome;
use super::{Options, RECENT};
use crate::Result;
use crate::services::work::Run;
use crate::types::{Player, UtcMicros};

/// Students remembered who are to be tried again; more are left to their next read.
const REMEMBERED: usize = 10_000;

/// How a rebuild ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way, or its process died.
    Started,
    /// All students were gone through.
    Completed,
    /// It was stopped by an error; another run goes on.
    Failed,
}

/// Where a rebuild stands, as it is noted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it has ended.
    pub state: State,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// The last student, in index order, before whom all are done.
    pub after: Option<String>,
    /// Students gone through.
    pub done: u64,
    /// Students there are; 0 if that is not known.
    pub students: u64,
    /// Schedules filled.
    pub filled: u64,
    /// Questions in them.
    pub questions: u64,
    /// Schedules that were complete and left alone.
    pub skipped: u64,
    /// Students left to their next read: somebody else fills or writes their schedules.
    pub left: u64,
    /// Whether complete schedules are left alone.
    pub missing_only: bool,
    /// Seconds of work, of all runs that this took.
    pub seconds: f64,
    /// When this was noted: microseconds, UTC.
    pub at: i64,
    /// The data set of Redis that is filled.
    pub data_set: String,
    /// Seconds of the runs before this one.
    #[serde(skip)]
    earlier: f64,
    /// When this run began.
    #[serde(skip)]
    began: i64,
}

/// What came of a rebuild.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Questions in the schedules that were filled.
    pub total_records: u64,
    /// Students gone through.
    pub total_users: u64,
    /// Schedules filled.
    pub total_keys: u64,
    /// `completed`.
    pub status: State,
    /// Schedules that were complete and left alone (`missing_only`).
    pub skipped: u64,
    /// Students left to their next read, whose schedules somebody else was filling or writing
    /// to all the time.
    pub left: u64,
    /// How long it took, rests included.
    pub seconds: f64,
}

impl Standing {
    pub(super) fn new(data_set: String, options: &Options, now: UtcMicros) -> Self {
        Self {
            state: State::Started,
            error: None,
            after: None,
            done: 0,
            students: 0,
            filled: 0,
            questions: 0,
            skipped: 0,
            left: 0,
            missing_only: options.missing_only,
            seconds: 0.0,
            at: now.0,
            data_set,
            earlier: 0.0,
            began: now.0,
        }
    }

    /// Whether a run may go on from here: what was filled before is there still.
    pub(super) fn can_go_on(&self, data_set: &str, options: &Options, now: UtcMicros) -> bool {
        self.state != State::Completed
            && self.after.is_some()
            && self.data_set == data_set
            && self.missing_only == options.missing_only
            && (0..RECENT).contains(&(now.0 - self.at))
    }

    pub(super) fn goes_on(self, now: UtcMicros) -> Self {
        Self {
            state: State::Started,
            error: None,
            earlier: self.seconds,
            began: now.0,
            at: now.0,
            ..self
        }
    }

    /// Takes over what was counted.
    pub(super) fn take(&mut self, tally: &Tally) {
        let counts = tally.counts();
        self.after.clone_from(&counts.after);
        (self.done, self.filled) = (counts.done, counts.filled);
        (self.questions, self.skipped) = (counts.questions, counts.skipped);
        self.left = counts.left.len() as u64 + counts.forgotten;
        self.at = UtcMicros::now().0;
        self.seconds = self.earlier + (self.at - self.began).max(0) as f64 / 1e6;
    }

    pub(super) fn end(&mut self, outcome: &Result<()>) {
        match outcome {
            Ok(()) => {
                self.state = State::Completed;
                self.students = self.done;
            }
            Err(error) => {
                self.state = State::Failed;
                self.error = Some(error.message().to_owned());
            }
        }
    }

    pub(super) async fn note(&self, run: &mut Run) -> Result<()> {
        run.note(self).await
    }

    pub(super) fn report(&self) -> Report {
        Report {
            total_records: self.questions,
            total_users: self.done,
            total_keys: self.filled,
            status: self.state,
            skipped: self.skipped,
            left: self.left,
            seconds: (self.seconds * 1e3).round() / 1e3,
        }
    }
}

/// Counts while it runs.
pub(super) struct Tally(Mutex<Counts>);

struct Counts {
    after: Option<String>,
    done: u64,
    filled: u64,
    questions: u64,
    skipped: u64,
    left: Vec<Player>,
    /// Of those to be tried again, those that were too many.
    forgotten: u64,
    /// The number of the page before which all are counted.
    next: u64,
    /// Pages that ended before one before them.
    early: BTreeMap<u64, (Player, Outcome)>,
}

impl Tally {
    pub(super) fn new(standing: &Standing) -> Self {
        Self(Mutex::new(Counts {
            after: standing.after.clone(),
            done: standing.done,
            filled: standing.filled,
            questions: standing.questions,
            skipped: standing.skipped,
            left: Vec::new(),
            forgotten: standing.left,
            next: 0,
            early: BTreeMap::new(),
        }))
    }

    /// A page is done. It counts once all before it are: what is noted is then what a run
    /// that goes on there need not do.
    pub(super) fn add(&self, number: u64, last: Player, outcome: Outcome) {
        let mut counts = self.counts();
        counts.early.insert(number, (last, outcome));
        loop {
            let next = counts.next;
            let Some((last, outcome)) = counts.early.remove(&next) else {
                return;
            };
            counts.next += 1;
            counts.after = Some(last.as_str().to_owned());
            counts.done += outcome.students();
            counts.filled += outcome.filled;
            counts.questions += outcome.questions;
            counts.skipped += outcome.skipped;
            for player in outcome.left {
                counts.leave(player);
            }
        }
    }

    pub(super) fn students(&self) -> u64 {
        self.counts().done
    }

    /// Those to be tried again; none of them is left then.
    pub(super) fn left(&self) -> Vec<Player> {
        std::mem::take(&mut self.counts().left)
    }

    pub(super) fn leave(&self, player: Player) {
        self.counts().leave(player);
    }

    pub(super) fn filled_at_last(&self) {
        self.counts().filled += 1;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn leave(&mut self, player: Player) {
        if self.left.len() < REMEMBERED {
            self.left.push(player);
        } else {
            self.forgotten += 1;
        }
    }
}
