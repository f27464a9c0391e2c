//! One submit as it travels: in the journal row, in the RQ job, to the worker.
//!
//! The JSON of these types is a wire format between versions of the engine, and between
//! the engine and Python (`persist_review_batch` takes the items as `responses`). Fields
//! are only added, readers ignore what they do not know, and [`FORMAT`] changes only when
//! an old reader would do harm.

mod carried;
mod item;

use serde::{Deserialize, Serialize};

pub use item::{Before, Item};

use crate::types::{Player, QuestionState, Season, SubmissionId};

/// Format of a batch of states.
pub const FORMAT: u32 = 1;
/// Format of a batch with an answer that has no state yet ([`Item::raw`]): a reader that
/// knows only states must leave it alone.
pub const RAW_FORMAT: u32 = 2;

/// Which door a write came through; part of audit and review log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The sidecar.
    Http,
    /// The Python module.
    Python,
    /// The command line.
    Cli,
}

impl Door {
    /// Its name in tables and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Python => "python",
            Self::Cli => "cli",
        }
    }
}

/// A random value made per request and process: tells the winner of several attempts at
/// the same submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt(pub [u8; 16]);

impl Attempt {
    /// A new one.
    ///
    /// # Errors
    /// `Internal` if the operating system gives no random bytes.
    pub fn random() -> crate::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|e| crate::Error::internal("No random bytes").with_source(e))?;
        Ok(Self(bytes))
    }

    /// As 32 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// An accepted submit: absolute states, so that applying it again changes nothing.
///
/// An answer whose state before could not be had in time travels raw. Whoever applies the
/// batch first computes what it led to and puts that into the journal row, so that it is
/// computed once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// [`FORMAT`], or [`RAW_FORMAT`] while there is a raw answer.
    pub v: u32,
    /// Which door took it.
    pub door: Door,
    /// When it was taken, UTC microseconds.
    pub at: i64,
    /// The answers in the order they were given; the same question may come twice.
    pub items: Vec<Item>,
    /// Answers that were acknowledged raw and could not be taken when they were computed:
    /// of a new question where none may come. They have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Item>,
}

impl Batch {
    /// One of these answers, in the format that they need.
    pub fn new(door: Door, at: i64, items: Vec<Item>) -> Self {
        let raw = items.iter().any(|item| item.raw);
        Self {
            v: if raw { RAW_FORMAT } else { FORMAT },
            door,
            at,
            items,
            refused: Vec::new(),
        }
    }

    /// Whether this program knows its format.
    pub fn is_known_format(&self) -> bool {
        (FORMAT..=RAW_FORMAT).contains(&self.v)
    }

    /// Whether there is an answer without a state.
    pub fn has_raw(&self) -> bool {
        self.items.iter().any(|item| item.raw)
    }

    /// The winning state of each question, in the order of first appearance. A raw answer
    /// has none: what is known of its question is what was known before.
    pub fn states(&self) -> Vec<QuestionState> {
        let mut states: Vec<QuestionState> = Vec::with_capacity(self.items.len());
        for state in self.items.iter().filter_map(Item::state) {
            match states.iter_mut().find(|s| s.question == state.question) {
                Some(known) if state.beats(known) => *known = state,
                Some(_) => {}
                None => states.push(state),
            }
        }
        states
    }

    /// Every answer that was acknowledged: those taken, then those refused later.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().chain(&self.refused)
    }

    /// XP of the whole batch.
    pub fn xp(&self) -> u32 {
        self.acknowledged().map(|i| i.xp).sum()
    }
}

/// What identifies a write, whatever doors, workers and retries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionKey {
    /// Whose.
    pub player: Player,
    /// Which submit of theirs.
    pub submission: SubmissionId,
}

/// A batch with everything that names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Its identity.
    pub key: SubmissionKey,
    /// The season it belongs to.
    pub season: Season,
    /// Which attempt at it this is.
    pub attempt: Attempt,
    /// SHA-256 of what the client sent: the same id with other content is refused.
    pub fingerprint: [u8; 32],
    /// What it does.
    pub batch: Batch,
}
