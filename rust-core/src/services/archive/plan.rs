//! What archiving a season would do. Changes nothing.

use serde::Serialize;

use super::note::{Note, State};
use super::run::{choose, refuse_active};
use super::{Method, season_state};
use crate::services::Site;
use crate::services::work::{self, Kind, Run};
use crate::store::archive::{self as store, ARCHIVE, TRACKER};
use crate::store::journal;
use crate::{Error, Result};

/// Rows a second, as measured on a small machine; for estimates.
const CONVERTED: f64 = 125_000.0;
const COPIED: f64 = 40_000.0;
const MERGED: f64 = 15_000.0;

/// What would be done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The season, in its stored spelling.
    pub season: String,
    /// How its rows would go.
    pub method: Method,
    /// Its rows in the tracker.
    pub rows: u64,
    /// Rows of it that the archive has already.
    pub archived_rows: u64,
    /// Where an earlier run stopped, which this one would take up.
    pub resumes_at: Option<&'static str>,
    /// Roughly how long it takes.
    pub estimate_s: f64,
    /// What forbids it, each with its remedy.
    pub problems: Vec<String>,
}

/// What [`super::archive_season`] would do, and roughly how long it would take.
///
/// # Errors
/// `NotFound` for an unknown season; `Unavailable` if a run of this season is under way, or
/// the database is away.
pub async fn plan(site: &Site, season: &str, method: Option<Method>) -> Result<Plan> {
    let state = season_state(site, season).await?;
    let noted = work::noted::<Note>(site, Kind::Archive, Some(&state.name)).await?;
    let noted = noted.map(|noted| noted.note);
    let mut run = Run::begin(site, Kind::Archive, Some(&state.name)).await?;
    let mut problems = Vec::new();
    let mut refuse = |refused: Result<()>| {
        problems.extend(refused.err().map(|error: Error| error.message().to_owned()));
    };
    refuse(refuse_active(&state));
    let stopped = noted.as_ref().filter(|note| note.state == State::Archiving);
    let method = match stopped {
        Some(note) => note.method,
        None => match choose(&mut run, &site.db, &state.name, method).await {
            Ok(method) => method,
            Err(error) => {
                refuse(Err(error));
                Method::Copy
            }
        },
    };
    run.end().await;
    if let Some(note) = noted.as_ref().filter(|note| note.state == State::Restoring) {
        refuse(Err(Error::invalid(format!(
            "it is being restored ({}): finish that first",
            note.phase.doing()
        ))));
    }
    let unapplied = journal::unapplied_of_season(&site.db, &state.name, 1000).await?;
    if !unapplied.is_empty() {
        tracing::info!(count = unapplied.len(), "Submits will be applied first");
    }
    let rows = store::count(&site.db, TRACKER, &state.name).await?;
    let rows = stopped.map_or(rows, |note| note.rows.max(rows));
    let a_second = match method {
        Method::Convert => CONVERTED,
        Method::Copy => COPIED,
        Method::Merge => MERGED,
    };
    Ok(Plan {
        season: state.name.to_string(),
        method,
        rows,
        archived_rows: store::count(&site.db, ARCHIVE, &state.name).await?,
        resumes_at: stopped.map(|note| note.phase.doing()),
        estimate_s: 1.0 + rows as f64 / a_second,
        problems,
    })
}
