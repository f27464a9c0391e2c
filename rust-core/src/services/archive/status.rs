//! Where the archiving of a season stands.

use serde::Serialize;

use super::note::{Note, State};
use super::season_state;
use crate::Result;
use crate::services::Site;
use crate::services::work::{self, Kind};
use crate::site_time::iso_wall;
use crate::store::archive::{self as store, ARCHIVE};
use crate::types::Season;

/// See [`get_archive_status`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The season, in its stored spelling.
    pub season: String,
    /// `active`, `inactive`, `archiving`, `archived` or `restoring`.
    pub state: &'static str,
    /// Rows that the archive has of it.
    pub records_archived: u64,
    /// When it was archived: wall time of the site, ISO 8601.
    pub archived_at: Option<String>,
    /// How far it is, while rows are moving.
    pub progress: Option<Progress>,
    /// Archived rows that an administrator may delete.
    pub eligible_for_deletion: u64,
}

/// How far rows are that move.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// At what.
    pub phase: &'static str,
    /// Rows so far, where they move one by one.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
    /// Whether somebody is at it; else it was stopped, and goes on when it is called again.
    pub running: bool,
    /// Why it cannot go on.
    pub failure: Option<String>,
    /// When that was noted: UTC, ISO 8601 without an offset.
    pub noted_at: String,
}

impl Progress {
    fn of(noted: work::Noted<Note>) -> Self {
        Self {
            phase: noted.note.phase.doing(),
            done: noted.note.done,
            total: noted.note.rows,
            running: noted.running,
            failure: noted.note.failure,
            noted_at: noted.modified_at,
        }
    }
}

/// The seasons whose rows are on their way into the archive or back, also where a run was
/// stopped half-way.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn moving(site: &Site) -> Result<Vec<Season>> {
    let noted = work::all_noted::<Note>(site, Kind::Archive)
        .await?
        .into_iter();
    let moving = noted.filter(|(_, noted)| noted.note.state != State::Archived);
    Ok(moving.map(|(season, _)| season).collect())
}

/// What becomes of the seasons on their way: those of [`moving`].
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn standing(site: &Site) -> Result<work::Standing> {
    let mut standing = work::Standing::default();
    for (_, noted) in work::all_noted::<Note>(site, Kind::Archive).await? {
        standing.saw(&noted.modified_at);
        match noted.note {
            Note {
                state: State::Archived,
                ..
            } => {}
            _ if noted.running => standing.running += 1,
            Note {
                failure: Some(_), ..
            } => standing.failed += 1,
            _ => standing.stopped += 1,
        }
    }
    Ok(standing)
}

/// A season whose rows are on their way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moving {
    /// `archiving` or `restoring`.
    pub state: &'static str,
    /// How far they are.
    pub progress: Progress,
}

/// As [`moving`], with how far each is. Counts nothing.
///
/// # Errors
/// As [`moving`].
pub async fn on_the_move(site: &Site) -> Result<Vec<(Season, Moving)>> {
    let noted = work::all_noted::<Note>(site, Kind::Archive).await?;
    let moving = noted.into_iter().filter_map(|(season, noted)| {
        let state = noted.note.state.moving()?;
        let progress = Progress::of(noted);
        Some((season, Moving { state, progress }))
    });
    Ok(moving.collect())
}

/// Where the archiving of a season stands.
///
/// # Errors
/// `NotFound` for an unknown season; `Unavailable` if the database is away.
pub async fn get_archive_status(site: &Site, season: &str) -> Result<Status> {
    let season = season_state(site, season).await?;
    let noted = work::noted::<Note>(site, Kind::Archive, Some(&season.name)).await?;
    let moving = noted.filter(|noted| noted.note.state != State::Archived);
    let state = match &moving {
        Some(noted) => noted.note.state.moving().unwrap_or("archiving"),
        None if season.archived_on.is_some() => "archived",
        None if season.is_active => "active",
        None => "inactive",
    };
    let records_archived = store::count(&site.db, ARCHIVE, &season.name).await?;
    // Of rows that nobody archived nobody need ask.
    let eligible_for_deletion = match records_archived {
        0 => 0,
        _ => store::candidates(&site.db, &season.name, None).await?,
    };
    Ok(Status {
        season: season.name.to_string(),
        state,
        records_archived,
        archived_at: season.archived_on.map(iso_wall),
        progress: moving.map(Progress::of),
        eligible_for_deletion,
    })
}
