//! What the checker judges by. Times are UTC microseconds of this machine's clock, which
//! clients and servers share; a program that lives in another time is known by its skew.

/// UTC microseconds.
pub type Micros = i64;

/// One second.
pub const SECOND: Micros = 1_000_000;

/// A question's state, in the order in which states win (rule C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// `review_version`; 0 for one that no review made.
    pub version: i64,
    /// When it is due.
    pub due: Micros,
    /// Stability, in units of 10⁻⁹.
    pub stability: i64,
}

/// A tracked question at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Whose.
    pub player: String,
    /// Its id.
    pub question: String,
    /// Its state.
    pub state: State,
    /// Its Game Subject.
    pub subject: Option<String>,
}

/// One answered question of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its id.
    pub question: String,
    /// 0 to 5.
    pub quality: u8,
}

/// A submit as its client knows it: one submission id, tried until it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submit {
    /// Whose.
    pub player: String,
    /// The submission id.
    pub id: String,
    /// What was answered, in order.
    pub answers: Vec<Answered>,
    /// Every request with this id and these answers.
    pub tries: Vec<Try>,
    /// Requests with this id and other answers, after its acknowledgement.
    pub others: Vec<Try>,
}

/// One request of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Through which sidecar.
    pub door: usize,
    /// When it was sent.
    pub began: Micros,
    /// When its answer was there, or hope given up.
    pub ended: Micros,
    /// What came.
    pub outcome: Outcome<Ack>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// 200.
    Good(T),
    /// Any other status.
    Refused(Refusal),
    /// Nothing.
    Unanswered,
}

/// An answer other than 200.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Seconds of `Retry-After`, if it was there.
    pub retry_after: Option<u64>,
    /// What it said.
    pub text: String,
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ack {
    /// `is_degraded`.
    pub degraded: bool,
    /// `persistence_job_id`.
    pub job: String,
    /// `processed`.
    pub processed: u64,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Whose.
    pub player: String,
    /// Through which sidecar.
    pub door: usize,
    /// When it was sent.
    pub began: Micros,
    /// When its answer was there, or hope given up.
    pub ended: Micros,
    /// The subject asked for.
    pub subject: Option<String>,
    /// The limit asked for.
    pub limit: usize,
    /// What came.
    pub outcome: Outcome<Session>,
}

/// What a read showed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// `is_degraded`.
    pub degraded: bool,
    /// `total_due`.
    pub total: u64,
    /// The questions, in order.
    pub questions: Vec<Shown>,
}

/// A question that a read showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub question: String,
    /// When it is due.
    pub due: Micros,
    /// Stability, in units of 10⁻⁹.
    pub stability: i64,
}

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hit {
    /// A sidecar: it does not answer, or loses what it was doing.
    Sidecar(usize),
    /// A worker.
    Worker,
    /// The cache Redis, for somebody.
    Cache,
    /// The queue Redis, for somebody.
    Queue,
    /// MariaDB, for somebody.
    MariaDb,
}

/// A fault that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind, for the summary: `kill cache`.
    pub kind: String,
    /// What it hit.
    pub hits: Vec<Hit>,
    /// Servers that were away for everybody.
    pub away: Vec<Hit>,
    /// Whether it is the declared double fault, which may lose what was acknowledged.
    pub declared: bool,
    /// When it began.
    pub began: Micros,
    /// When all was up again.
    pub ended: Micros,
}

/// What the tables hold at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// The review log.
    pub log: Vec<Logged>,
    /// The tracker.
    pub rows: Vec<Tracked>,
    /// The journal.
    pub journal: Vec<Journaled>,
    /// The audit: player, submission and worker, one for each time that it was applied.
    pub applied: Vec<(String, String, String)>,
}

/// A row of the review log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Whose.
    pub player: String,
    /// The submission id.
    pub submission: String,
    /// Place in the batch, from 0.
    pub seq: usize,
    /// Its question.
    pub question: String,
    /// 0 to 5.
    pub quality: u8,
    /// Version of the state that it was computed from; `None`: the question was new.
    pub base: Option<i64>,
    /// The state that it led to.
    pub after: State,
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled {
    /// Whose.
    pub player: String,
    /// The submission id.
    pub submission: String,
    /// When it was written.
    pub created: Micros,
    /// When it was applied.
    pub applied: Option<Micros>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The questions at the start.
    pub start: Vec<Tracked>,
    /// Submits.
    pub submits: Vec<Submit>,
    /// Reads.
    pub reads: Vec<Read>,
    /// Faults, in the order of their beginning.
    pub faults: Vec<Fault>,
    /// Microseconds by which the clock of each sidecar is ahead.
    pub skews: Vec<Micros>,
    /// The tables, after the last fault has healed.
    pub tables: Tables,
}

impl Submit {
    /// When it was sent for the first time.
    pub fn began(&self) -> Micros {
        self.tries.iter().map(|t| t.began).min().unwrap_or(0)
    }

    /// When its last request was over.
    pub fn ended(&self) -> Micros {
        self.tries.iter().map(|t| t.ended).max().unwrap_or(0)
    }

    /// The acknowledgements that came: when, and what they said.
    pub fn acks(&self) -> impl Iterator<Item = (Micros, &Ack)> {
        self.tries.iter().filter_map(|t| match &t.outcome {
            Outcome::Good(ack) => Some((t.ended, ack)),
            _ => None,
        })
    }

    /// When the first acknowledgement came.
    pub fn acknowledged(&self) -> Option<Micros> {
        self.acks().map(|(at, _)| at).min()
    }
}

impl Fault {
    /// Whether something between these times may have met it, `grace` after its end
    /// included.
    pub fn meets(&self, began: Micros, ended: Micros, grace: Micros) -> bool {
        self.began <= ended && began <= self.ended + grace
    }
}
