//! A season comes back from the archive: its rows are merged into the tracker, in bounded
//! chunks, because students use that table meanwhile.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::note::{Note, Phase, State};
use super::run::{Archiving, Steps};
use super::{Method, failed, season_state};
use crate::servers::mariadb::MariaDb;
use crate::services::work::{Kind, Run, Tell};
use crate::services::{Site, clear};
use crate::store::archive::{self as store, ARCHIVE, Direction, SeasonState};
use crate::types::UtcMicros;
use crate::{Error, ErrorKind, Result};

/// What restoring a season came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The season, in its stored spelling.
    pub season: String,
    /// "restored".
    pub status: String,
    /// Rows that were in the archive.
    pub records_restored: u64,
    /// Cached schedules that were dropped.
    pub cache_keys_deleted: u64,
    /// Whether this took up a run that had been stopped.
    pub resumed: bool,
    /// Seconds that this run took.
    pub seconds: f64,
}

/// Brings an archived season back, or takes up where an earlier run stopped. Where the
/// tracker has a newer state of a question, that stays. The season stays inactive, and its
/// reads are refused until all rows are there.
///
/// # Errors
/// `NotFound` for an unknown season; `InvalidInput` for one that is not archived; `Conflict`
/// if rows have not come into the tracker (the archive keeps them then), or it is being
/// archived; `Unavailable` as for [`super::archive_season`].
pub async fn restore_season(site: &Site, season: &str, tell: &Tell) -> Result<RestoreReport> {
    let state = season_state(site, season).await?;
    let run = Run::begin(site, Kind::Archive, Some(&state.name)).await?;
    let restored = restore(site, run, &state, tell).await;
    if let Err(error) = &restored
        && matches!(error.kind(), ErrorKind::Internal | ErrorKind::Conflict)
    {
        failed(site, &state.name, error).await;
    }
    restored
}

async fn restore(
    site: &Site,
    mut run: Run,
    before: &SeasonState,
    tell: &Tell,
) -> Result<RestoreReport> {
    let started = Instant::now();
    store::prepare(run.held()).await?;
    let noted: Option<Note> = run.noted().await?;
    let resumed = matches!(&noted, Some(note) if note.state == State::Restoring);
    let note = match noted {
        Some(note) if note.state == State::Archiving => {
            let message = format!(
                "Season {} is being archived: finish that first",
                before.name
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Some(note) if resumed => note,
        _ if before.archived_on.is_none() => {
            let message = format!("Season {} is not archived", before.name);
            return Err(Error::invalid(message));
        }
        _ => {
            let now = UtcMicros::now();
            let wall = site.zone(now).await?.to_wall(now.floor_seconds());
            let mut note = Note::new(State::Restoring, &before.name, Method::Merge, wall);
            note.rows = store::count(&site.db, ARCHIVE, &before.name).await?;
            note
        }
    };
    let mut restoring = Archiving {
        site,
        run,
        season: before.name.clone(),
        note,
        db: MariaDb::new(&site.config.db, 1),
        tell,
        steps: Steps::default(),
    };
    let keys = go(&mut restoring).await;
    restoring.db.close().await;
    restoring.run.end().await;
    let report = RestoreReport {
        season: before.name.to_string(),
        status: "restored".to_owned(),
        records_restored: restoring.note.rows,
        cache_keys_deleted: keys?,
        resumed,
        seconds: started.elapsed().as_secs_f64(),
    };
    tracing::info!(
        site = site.config.site,
        ?report,
        "SRSArchiver restored a season"
    );
    Ok(report)
}

async fn go(this: &mut Archiving<'_>) -> Result<u64> {
    this.save().await?;
    loop {
        this.says(doing(this.note.phase), 0, 0);
        let next = match this.note.phase {
            Phase::Announced | Phase::Detached | Phase::Shaped => {
                store::make_partition(this.run.held(), &this.season).await?;
                this.step().await?;
                this.merge(ARCHIVE, Direction::Restore).await?;
                Phase::Attached
            }
            Phase::Attached => verify(this).await?,
            Phase::Verified => {
                store::drop_archived(this.run.held(), &this.season).await?;
                this.step().await?;
                Phase::Dropped
            }
            Phase::Dropped => {
                let now = UtcMicros::now();
                let now = this.site.zone(now).await?.to_wall(now);
                store::mark_restored(this.run.held(), &this.season, now).await?;
                Phase::Marked
            }
            Phase::Marked | Phase::Done => {
                let keys = clear::season(this.site, &this.season, this.tell).await?;
                this.run.clear().await?;
                this.step().await?;
                return Ok(keys);
            }
        };
        this.note.phase = next;
        this.save().await?;
    }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Announced | Phase::Detached | Phase::Shaped => "restoring",
        phase => phase.doing(),
    }
}

async fn verify(this: &mut Archiving<'_>) -> Result<Phase> {
    let missing = this.not_merged(ARCHIVE, Direction::Restore).await?;
    if missing == 0 {
        return Ok(Phase::Verified);
    }
    let message = format!(
        "{missing} rows of {} have not come into the tracker; the archive keeps all of them",
        this.season
    );
    // What is missing is to be merged again.
    this.note.position = None;
    this.note.done = 0;
    this.note.phase = Phase::Announced;
    this.note.failure = Some(message.clone());
    this.save().await?;
    Err(Error::new(ErrorKind::Conflict, message))
}
