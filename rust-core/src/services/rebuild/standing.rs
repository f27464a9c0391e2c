//! Where a rebuild stands: counted while it runs, noted every second, told at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::batch::Outcome;
use super::kept::{self, Kept};
use super::{Options, RECENT};
use crate::Result;
use crate::services::Site;
use crate::services::work::{self, Kind, Run};
use crate::types::{Player, Season, UtcMicros};

/// Students remembered who are to be tried again; more are left to their next read.
const REMEMBERED: usize = 10_000;
/// Of those, how many a note names: more than a run that dies has leases of.
const NAMED: usize = 1000;

/// How a rebuild ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way, or its process died.
    Started,
    /// All students were gone through.
    Completed,
    /// So they were, and Redis lost schedules again and again: some are missing.
    Incomplete,
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
    /// The last student, in index order, before whom all are done, in this round.
    pub after: Option<String>,
    /// Which time the students are gone through, from 1: again where Redis has lost what was
    /// filled.
    #[serde(default = "first_round")]
    pub round: u32,
    /// Students gone through, once.
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
    /// Their names, of some: those whose leases a run held that died are to be filled by the
    /// one that goes on, or by the one after, if that dies before the leases run out.
    #[serde(default)]
    pub left_names: Vec<String>,
    /// Schedules filled again that Redis had lost meanwhile.
    #[serde(default)]
    pub refilled: u64,
    /// Students without a complete schedule at the end, because Redis lost it again.
    #[serde(default)]
    pub lost: u64,
    /// Whether complete schedules are left alone.
    pub missing_only: bool,
    /// Some of the first students whose schedules were filled: as long as Redis has them, it
    /// has not been emptied.
    #[serde(default)]
    pub witnesses: Vec<String>,
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

/// What becomes of the rebuilds of all seasons, of which each notes its last.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn standing(site: &Site) -> Result<work::Standing> {
    let mut standing = work::Standing::default();
    for (_, noted) in work::all_noted::<Standing>(site, Kind::Rebuild).await? {
        standing.saw(&noted.modified_at);
        match noted.note.state {
            _ if noted.running => standing.running += 1,
            State::Started => standing.stopped += 1,
            State::Failed | State::Incomplete => standing.failed += 1,
            State::Completed => {}
        }
    }
    Ok(standing)
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
    /// `completed`, or `incomplete`.
    pub status: State,
    /// Schedules that were complete and left alone (`missing_only`).
    pub skipped: u64,
    /// Students left to their next read, whose schedules somebody else was filling or writing
    /// to all the time.
    pub left: u64,
    /// Schedules filled again that Redis had lost meanwhile: it was emptied, or is too small.
    pub refilled: u64,
    /// Students without a complete schedule at the end, because Redis lost it again. Above 0
    /// the rebuild is `incomplete`.
    pub lost: u64,
    /// How long it took, rests included.
    pub seconds: f64,
}

impl Standing {
    pub(super) fn new(data_set: String, options: &Options, now: UtcMicros) -> Self {
        Self {
            state: State::Started,
            error: None,
            after: None,
            round: first_round(),
            done: 0,
            students: 0,
            filled: 0,
            questions: 0,
            skipped: 0,
            left: 0,
            left_names: Vec::new(),
            refilled: 0,
            lost: 0,
            witnesses: Vec::new(),
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
        matches!(self.state, State::Started | State::Failed)
            && (self.after.is_some() || self.round > 1)
            && self.data_set == data_set
            && self.missing_only == options.missing_only
            && (0..RECENT).contains(&(now.0 - self.at))
    }

    /// Whether Redis has what was filled by then, as far as witnesses say: others may have
    /// been evicted one by one.
    pub(super) async fn is_kept(&self, site: &Site, season: &Season) -> Result<bool> {
        let witnesses: Vec<Player> = self.witnesses.iter().map(Player::stored).collect();
        let missing = kept::missing(site, season, &witnesses).await?;
        Ok(missing < witnesses.len().max(1))
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
        (self.round, self.refilled) = (counts.round, counts.refilled);
        self.lost = counts.lost;
        self.witnesses = counts.kept.noted();
        self.left = counts.left.len() as u64 + counts.forgotten;
        let named = counts.left.iter().take(NAMED);
        self.left_names = named.map(|player| player.as_str().to_owned()).collect();
        self.at = UtcMicros::now().0;
        self.seconds = self.earlier + (self.at - self.began).max(0) as f64 / 1e6;
    }

    pub(super) fn end(&mut self, outcome: &Result<()>) {
        match outcome {
            Ok(()) => {
                self.state = match self.lost {
                    0 => State::Completed,
                    _ => State::Incomplete,
                };
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
            refilled: self.refilled,
            lost: self.lost,
            seconds: (self.seconds * 1e3).round() / 1e3,
        }
    }
}

/// Counts while it runs.
pub(super) struct Tally(Mutex<Counts>);

struct Counts {
    after: Option<String>,
    round: u32,
    done: u64,
    /// Of this round, if it is not the first.
    again: u64,
    refilled: u64,
    lost: u64,
    kept: Kept,
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
            round: standing.round,
            done: standing.done,
            again: 0,
            refilled: standing.refilled,
            lost: 0,
            kept: Kept::new(&standing.witnesses),
            filled: standing.filled,
            questions: standing.questions,
            skipped: standing.skipped,
            left: standing.left_names.iter().map(Player::stored).collect(),
            forgotten: standing
                .left
                .saturating_sub(standing.left_names.len() as u64),
            next: 0,
            early: BTreeMap::new(),
        }))
    }

    /// A page is done. It counts once all before it are: what is noted is then what a run
    /// that goes on there need not do.
    pub(super) fn add(&self, number: u64, last: Player, mut outcome: Outcome) {
        let mut counts = self.counts();
        if let Some(witness) = outcome.witness.take() {
            counts.kept.add(witness);
        }
        counts.early.insert(number, (last, outcome));
        loop {
            let next = counts.next;
            let Some((last, outcome)) = counts.early.remove(&next) else {
                return;
            };
            counts.next += 1;
            counts.after = Some(last.as_str().to_owned());
            if counts.round > 1 {
                counts.again += outcome.students();
                counts.refilled += outcome.filled;
            } else {
                counts.done += outcome.students();
                counts.filled += outcome.filled;
                counts.questions += outcome.questions;
                counts.skipped += outcome.skipped;
            }
            for player in outcome.left {
                counts.leave(player);
            }
        }
    }

    /// Students gone through in this round.
    pub(super) fn students(&self) -> u64 {
        let counts = self.counts();
        match counts.round {
            1 => counts.done,
            _ => counts.again,
        }
    }

    pub(super) fn questions(&self) -> u64 {
        self.counts().questions
    }

    pub(super) fn round(&self) -> u32 {
        self.counts().round
    }

    /// From the first student on again.
    pub(super) fn next_round(&self) {
        let mut counts = self.counts();
        counts.round += 1;
        (counts.after, counts.again, counts.next) = (None, 0, 0);
        counts.kept = Kept::new(&[]);
        // Gone through again with all others.
        counts.left.clear();
        counts.forgotten = 0;
    }

    pub(super) fn lost(&self, students: u64) {
        self.counts().lost = students;
    }

    /// Those whose schedules say whether Redis keeps what is filled.
    pub(super) fn witnesses(&self) -> Vec<Player> {
        self.counts().kept.all()
    }

    /// Those to be tried again. They stay noted until [`Tally::filled_at_last`].
    pub(super) fn left(&self) -> Vec<Player> {
        self.counts().left.clone()
    }

    pub(super) fn filled_at_last(&self, player: &Player) {
        let mut counts = self.counts();
        counts.left.retain(|left| left != player);
        match counts.round {
            1 => counts.filled += 1,
            _ => counts.refilled += 1,
        }
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

/// For notes of a program that went through all students once.
fn first_round() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_once_all_before_it_are_done() {
        let mut standing = Standing::new(String::new(), &Options::default(), UtcMicros(0));
        let tally = Tally::new(&standing);
        let filled = || Outcome {
            filled: 3,
            ..Outcome::default()
        };
        tally.add(1, Player::stored("f"), filled());
        standing.take(&tally);
        assert_eq!((&standing.after, standing.done), (&None, 0));
        tally.add(0, Player::stored("c"), filled());
        standing.take(&tally);
        assert_eq!((standing.after.as_deref(), standing.done), (Some("f"), 6));
        // Who was left is named for a run that goes on, until their schedules are there.
        let left = |name| Outcome {
            left: vec![Player::stored(name)],
            ..Outcome::default()
        };
        tally.add(2, Player::stored("g"), left("g"));
        standing.take(&tally);
        let tally = Tally::new(&standing);
        assert_eq!(tally.left(), [Player::stored("g")]);
        standing.take(&tally);
        assert_eq!((standing.left, standing.done), (1, 7));
        tally.filled_at_last(&Player::stored("g"));
        standing.take(&tally);
        assert_eq!((standing.left, standing.filled), (0, 7));
        assert!(standing.left_names.is_empty());
        // Once more from the first student on: nothing is counted twice.
        tally.next_round();
        tally.add(0, Player::stored("c"), filled());
        standing.take(&tally);
        assert_eq!((standing.after.as_deref(), standing.done), (Some("c"), 7));
        assert_eq!(
            (standing.filled, standing.refilled, standing.round),
            (7, 3, 2)
        );
    }
}
