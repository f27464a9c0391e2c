//! Long work on a season: archive, rebuild, reconciliation, retention.
//!
//! One run of a kind per season at a time, over all processes and hosts; where it stands
//! is noted in the database, so that a run that died is seen and resumed, and anybody may
//! ask how far it is. See [`crate::store::state`].

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Site, check};
use crate::store::state::{self, Held};
use crate::types::Season;
use crate::{Error, Result};

/// Runs that [`remember`] keeps.
pub const KEPT_RUNS: usize = 30;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A season's rows go into the archive, or come back.
    Archive,
    /// A season's cache is filled.
    Rebuild,
    /// Cache and table are compared.
    Reconcile,
    /// Archived rows past their retention are flagged or deleted.
    Retention,
}

impl Kind {
    /// As in the names of notes, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Rebuild => "rebuild",
            Self::Reconcile => "reconcile",
            Self::Retention => "retention",
        }
    }

    pub(super) fn name(self, season: Option<&Season>) -> String {
        match season {
            Some(season) => format!("{}:{season}", self.as_str()),
            None => self.as_str().to_owned(),
        }
    }
}

/// A sign of life; several a second at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// At what, in a word or two for people.
    pub phase: &'static str,
    /// How much is done: rows, or students, as the phase has it.
    pub done: u64,
    /// What `done` will be at the end; 0 if that is not known.
    pub total: u64,
    /// Questions that went with it so far, where they are counted beside; else 0.
    pub questions: u64,
}

impl Progress {
    /// Of work that counts one thing.
    pub fn new(phase: &'static str, done: u64, total: u64) -> Self {
        Self {
            phase,
            done,
            total,
            questions: 0,
        }
    }
}

/// Hears of progress.
pub type Tell = dyn Fn(Progress) + Send + Sync;

/// A run, which is the only one of its kind for this season until it is dropped.
pub struct Run(Held);

impl Run {
    /// Begins a run, of all seasons if none is given: the runs of single seasons are
    /// others.
    ///
    /// # Errors
    /// `Unavailable` if one is under way, or the database is away.
    pub async fn begin(site: &Site, kind: Kind, season: Option<&Season>) -> Result<Self> {
        let held = Held::take(&site.db, &kind.name(season)).await?;
        held.map(Self).ok_or_else(|| {
            let of = season.map_or_else(String::new, |season| format!(" of {season}"));
            Error::unavailable(
                format!("Another {}{of} is under way", kind.as_str()),
                Duration::from_secs(10),
            )
        })
    }

    /// What the last run noted, if it did not clear it.
    ///
    /// # Errors
    /// `Unavailable` if the connection, and with it the right to run, is lost; `Internal`
    /// for a note of another shape.
    pub async fn noted<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.0.noted().await?.map(shaped).transpose()
    }

    /// Notes where it stands. Committed when this returns.
    ///
    /// # Errors
    /// `Unavailable` if the connection, and with it the right to run, is lost: stop.
    pub async fn note<T: Serialize + Sync>(&mut self, note: &T) -> Result<()> {
        self.0.note(&value(note)?).await
    }

    /// Forgets the note.
    ///
    /// # Errors
    /// As [`Run::note`].
    pub async fn clear(&mut self) -> Result<()> {
        self.0.forget().await
    }

    /// Ends it: another may begin when this returns, and not a moment later.
    pub async fn end(self) {
        self.0.release().await;
    }

    /// The right itself, for work whose statements go over the connection that holds it.
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.0
    }

    /// Fails if the right to run is lost, for work that goes on long without a note.
    ///
    /// # Errors
    /// As [`Run::note`].
    pub async fn check(&mut self) -> Result<()> {
        self.0.check().await
    }
}

/// A note, seen from outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noted<T> {
    /// What the work noted.
    pub note: T,
    /// When: UTC, ISO 8601 without an offset.
    pub modified_at: String,
    /// Whether a run is under way now; else it has ended, or died.
    pub running: bool,
}

/// Where the work on a season stands.
///
/// # Errors
/// `Unavailable` if the database is away; `Internal` for a note of another shape.
pub async fn noted<T: DeserializeOwned>(
    site: &Site,
    kind: Kind,
    season: Option<&Season>,
) -> Result<Option<Noted<T>>> {
    let note = state::read(&site.db, &kind.name(season)).await?;
    note.map(seen).transpose()
}

/// Where the work of a kind stands, season by season.
///
/// # Errors
/// As [`noted`].
pub async fn all_noted<T: DeserializeOwned>(
    site: &Site,
    kind: Kind,
) -> Result<Vec<(Season, Noted<T>)>> {
    let notes = state::all(&site.db, kind.as_str()).await?;
    notes
        .into_iter()
        .map(|(season, note)| Ok((Season::stored(season), seen(note)?)))
        .collect()
}

/// Adds a report to the kind's history, which keeps the last [`KEPT_RUNS`]; not of the
/// season of a check ([`super::check`]), which is nobody's.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn remember<T: Serialize + Sync>(
    site: &Site,
    kind: Kind,
    season: Option<&Season>,
    report: &T,
) -> Result<()> {
    if season.is_some_and(check::is_scratch) {
        return Ok(());
    }
    state::append(&site.db, &history_of(kind), &value(report)?, KEPT_RUNS).await
}

/// The reports of the last runs of a kind, the oldest first. Those of another shape are
/// left out.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn history<T: DeserializeOwned>(site: &Site, kind: Kind) -> Result<Vec<T>> {
    let note = state::read(&site.db, &history_of(kind)).await?;
    let reports = note.and_then(|note| match note.value {
        serde_json::Value::Array(reports) => Some(reports),
        _ => None,
    });
    Ok(reports
        .into_iter()
        .flatten()
        .filter_map(|report| serde_json::from_value(report).ok())
        .collect())
}

/// How many of a kind are at what, over all seasons.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Standing {
    /// Under way now.
    pub running: u64,
    /// Begun and not ended, with nobody at it: its process died, or was stopped.
    pub stopped: u64,
    /// Ended by an error that does not pass by itself.
    pub failed: u64,
    /// When one of them was last heard of: UTC, ISO 8601 without an offset.
    pub last_noted_at: Option<String>,
}

impl Standing {
    /// One was last heard of at this time.
    pub(super) fn saw(&mut self, modified_at: &str) {
        if self
            .last_noted_at
            .as_deref()
            .is_none_or(|last| last < modified_at)
        {
            self.last_noted_at = Some(modified_at.to_owned());
        }
    }
}

/// How many runs of a kind are under way, of all seasons and of single ones: for work that
/// notes nothing while it runs.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn running(site: &Site, kind: Kind) -> Result<u64> {
    state::running(&site.db, kind.as_str()).await
}

fn history_of(kind: Kind) -> String {
    format!("history-{}", kind.as_str())
}

fn seen<T: DeserializeOwned>(note: state::Note) -> Result<Noted<T>> {
    Ok(Noted {
        note: shaped(note.value)?,
        modified_at: note.modified_at,
        running: note.running,
    })
}

fn shaped<T: DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|e| Error::internal("A note of long work has another shape").with_source(e))
}

fn value<T: Serialize>(note: &T) -> Result<serde_json::Value> {
    serde_json::to_value(note)
        .map_err(|e| Error::internal("A note cannot be written as JSON").with_source(e))
}
