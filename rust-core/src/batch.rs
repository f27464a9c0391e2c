//! One submit as it travels: in the journal row, in the RQ job, to the worker.
//!
//! The JSON of these types is a wire format between versions of the engine, and between
//! the engine and Python (`persist_review_batch` takes the items as `responses`). Fields
//! are only added, readers ignore what they do not know, and [`FORMAT`] changes only when
//! an old reader would do harm.

use serde::{Deserialize, Serialize};

use crate::types::{
    Player, QuestionId, QuestionState, Season, Stability, SubmissionId, UtcMicros, Version,
};

/// Version of the item format.
pub const FORMAT: u32 = 1;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// [`FORMAT`].
    pub v: u32,
    /// Which door took it.
    pub door: Door,
    /// When it was taken, UTC microseconds.
    pub at: i64,
    /// The answers in the order they were given; the same question may come twice.
    pub items: Vec<Item>,
}

/// One answered question with the state that the answer led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Which question, in its stored spelling.
    pub question_id: String,
    /// Quality of the answer, 0 to 5; `None` where somebody set a state without one, which
    /// is no review and not logged as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Milliseconds to the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time_ms: Option<u32>,
    /// XP for this answer.
    #[serde(default)]
    pub xp: u32,
    /// Stability after the answer, 0 to 4.
    pub new_stability: f64,
    /// Next review, site wall time `YYYY-MM-DDTHH:MM:SS`, for readers in Python; the
    /// engine itself reads `due_us`.
    pub new_next_review_date: String,
    /// Next review, UTC microseconds.
    pub due_us: i64,
    /// Time of this review, UTC microseconds.
    pub last_review_us: i64,
    /// Orders this state among all of the question.
    pub review_version: i64,
    /// Game Subject, from the table.
    #[serde(default)]
    pub subject: Option<String>,
    /// Game Topic, from the table.
    #[serde(default)]
    pub topic: Option<String>,
    /// The state before the answer; `None` for a new question.
    #[serde(default)]
    pub before: Option<Before>,
}

/// The state that an answer was computed from, for the review log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Stability, 0 to 4.
    pub stability: f64,
    /// When it was due, UTC microseconds.
    pub due_us: i64,
    /// When it was last reviewed, UTC microseconds.
    #[serde(default)]
    pub last_review_us: Option<i64>,
    /// Its version.
    pub review_version: i64,
}

impl Item {
    /// The state that this answer led to.
    pub fn state(&self) -> QuestionState {
        QuestionState {
            question: QuestionId::stored(&self.question_id),
            stability: Stability::from_f64(self.new_stability),
            due: UtcMicros(self.due_us),
            last_review: Some(UtcMicros(self.last_review_us)),
            version: Version(self.review_version),
            subject: self.subject.clone(),
            topic: self.topic.clone(),
        }
    }
}

impl Batch {
    /// The winning state of each question, in the order of first appearance.
    pub fn states(&self) -> Vec<QuestionState> {
        let mut states: Vec<QuestionState> = Vec::with_capacity(self.items.len());
        for state in self.items.iter().map(Item::state) {
            match states.iter_mut().find(|s| s.question == state.question) {
                Some(known) if state.beats(known) => *known = state,
                Some(_) => {}
                None => states.push(state),
            }
        }
        states
    }

    /// XP of the whole batch.
    pub fn xp(&self) -> u32 {
        self.items.iter().map(|i| i.xp).sum()
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
