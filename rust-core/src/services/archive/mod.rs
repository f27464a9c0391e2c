//! A season that is over goes into the archive, and comes back if it must (rule C13).
//!
//! The order is what makes it safe, however often it is stopped:
//!
//! 1. *Announced*: a note in the database, which every process sees within
//!    `srs_season_cache_s`; reads of the season are refused from then on. What was accepted
//!    for it and is not in the table yet is applied first.
//! 2. *Detached*: its partition becomes a table of its own. Nobody writes to it any more.
//! 3. *Shaped*: that table gets the archive's columns and indexes (conversion), or is copied
//!    into one that has them (copy), and is summed up.
//! 4. *Attached*: it becomes a partition of the archive.
//! 5. *Verified*: the archive's rows are summed up and compared. If they differ, everything
//!    stays as it is, and says so.
//! 6. *Dropped*: the detached table, if its rows were copied. Never anything else.
//! 7. *Marked*: `archived_on` is set on the season. Rows that were written meanwhile, to a
//!    partition made anew, are merged into the archive; cached schedules are dropped.
//!
//! Each step is noted when it is done, looks at what is there, and may be done again. Where
//! the archive has rows of the season already, steps 3 and 4 are one merge, in which the
//! newer state of a question stays.
//!
//! A write for an archived season goes to a partition made anew, as for any season without
//! one; [`archive_season`] of an archived season, which [`process_auto_archive`] does every
//! day, merges it.

mod auto;
mod drain;
mod late;
mod note;
mod pace;
mod plan;
mod restore;
mod run;
mod status;
mod sums;

use serde::{Deserialize, Serialize};

pub use auto::{AutoPlan, AutoReport, Failed, plan_auto, process_auto_archive};
pub use plan::{Plan, plan};
pub use restore::{RestoreReport, restore_season};
pub use run::archive_season;
pub use status::{
    Moving, Progress as StatusProgress, Status, get_archive_status, moving, on_the_move, standing,
};

use super::{Site, seasons};
use crate::store::archive as store;
pub use crate::store::archive::ArchivedQuestion;
use crate::types::{Player, Season, UtcMicros, check_name};
use crate::{Error, Result};

pub(super) use pace::Pace;

/// What operators search Frappe's Error Log for.
pub(super) const ERROR_TITLE: &str = "SRSArchiver";

/// Questions that [`get_archived_schedule`] gives at once.
pub const MAX_QUESTIONS: u32 = 1000;

/// How rows get into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The partition itself moves (MariaDB 10.7 and later).
    Convert,
    /// Rows are copied in bounded chunks.
    Copy,
    /// Rows are merged into those that the archive has of the season.
    Merge,
}

impl Method {
    /// As an argument, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Copy => "copy",
            Self::Merge => "merge",
        }
    }

    /// The method that somebody asks for.
    ///
    /// # Errors
    /// `InvalidInput` for anything but `convert` and `copy`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "convert" => Ok(Self::Convert),
            "copy" => Ok(Self::Copy),
            _ => Err(Error::invalid("method must be convert or copy")),
        }
    }
}

/// What archiving a season came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The season, in its stored spelling.
    pub season: String,
    /// "completed".
    pub status: String,
    /// Rows that went into the archive, late ones included.
    pub records_archived: u64,
    /// Cached schedules that were dropped.
    pub cache_keys_deleted: u64,
    /// How they went.
    pub method: Method,
    /// Rows that were written for the season while it was archived, or after.
    pub late_merged: u64,
    /// Whether the season was archived before, so that only late rows were looked for.
    pub was_archived: bool,
    /// Whether this took up a run that had been stopped.
    pub resumed: bool,
    /// Seconds that this run took.
    pub seconds: f64,
}

/// A student's archived questions, for statistics: in the order of their ids, those after
/// `after` ("" first), `limit` (1 to 1,000) at most. Empty for a season without archived
/// rows.
///
/// # Errors
/// `InvalidInput` for a name that cannot be, or a limit out of range; `NotFound` for an
/// unknown season; `Unavailable` if the database is away.
pub async fn get_archived_schedule(
    site: &Site,
    player: &Player,
    season: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<ArchivedQuestion>> {
    check_name("user", player.as_str())?;
    check_name("season", season)?;
    if !(1..=MAX_QUESTIONS).contains(&limit) {
        let message = format!("limit must be 1 to {MAX_QUESTIONS}");
        return Err(Error::invalid(message));
    }
    let season = seasons::named(site, season, UtcMicros::now()).await?;
    store::of_student(&site.db, player, &season.name, after, limit).await
}

/// The season's own row, as it is now.
async fn season_state(site: &Site, name: &str) -> Result<store::SeasonState> {
    check_name("season", name)?;
    store::state_of(&site.db, name)
        .await?
        .ok_or_else(|| Error::not_found(format!("Season {name} does not exist")))
}

/// Tells the operator of a failure, in the log and in Frappe's Error Log.
pub(super) async fn failed(site: &Site, season: &Season, error: &Error) {
    tracing::error!(
        site = site.config.site,
        season = season.as_str(),
        ?error,
        "SRSArchiver failed"
    );
    let text = format!("{season}\n{error:?}");
    if let Err(error) = super::report::log_under(site, ERROR_TITLE, &text).await {
        tracing::warn!(?error, "The Error Log could not be written");
    }
}
