//! What an operator sees of a site at a glance: its seasons, and the long work on them.
//!
//! Read from the database, in a handful of statements that count nothing; the students in a
//! note are left out.

use std::collections::HashMap;

use serde::Serialize;

use super::partitions::{self, Stats};
use super::rebuild::{self, Standing};
use super::work::{self, Kind, Noted};
use super::{Site, archive, reconcile};
use crate::Result;
use crate::site_time::iso_wall;
use crate::store::{seasons, state};
use crate::types::Season;

/// Seasons that are listed.
const SEASONS: u32 = 200;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// Active ones first, archived ones last, then the latest; 200 at most.
    pub seasons: Vec<SeasonView>,
    /// Whether there are more.
    pub more_seasons: bool,
    /// Partitions of the tracker without such a season.
    pub other_partitions: Vec<Stats>,
    /// Whether a reconciliation of all seasons is under way.
    pub reconciling: bool,
    /// Reports of the last 30 reconciliations, the oldest first.
    pub reconciliations: Vec<reconcile::Report>,
    /// Reports of the last 30 archivings, the oldest first.
    pub archives: Vec<archive::Report>,
}

/// One season.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeasonView {
    /// Its name.
    pub name: String,
    /// New reviews belong to it.
    pub is_active: bool,
    /// Its schedules are cached.
    pub enable_redis: bool,
    /// It is archived by itself once it is over.
    pub auto_archive: bool,
    /// First day, ISO 8601.
    pub start_date: Option<String>,
    /// Last day, ISO 8601.
    pub end_date: Option<String>,
    /// When it was archived: wall time of the site, ISO 8601.
    pub archived_on: Option<String>,
    /// Where its rows are; `None` if it has no partition.
    pub partition: Option<Stats>,
    /// Whether it alone is being reconciled.
    pub reconciling: bool,
    /// Its rebuild under way, or the last one.
    pub rebuild: Option<RebuildView>,
    /// Its rows that are on the move into the archive or back.
    pub moving: Option<archive::Moving>,
}

/// A rebuild.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RebuildView {
    /// Whether it has ended.
    pub state: rebuild::State,
    /// Whether it is under way now; one that is `started` and is not has died.
    pub running: bool,
    /// Students gone through.
    pub done: u64,
    /// Students there are; 0 if that is not known.
    pub students: u64,
    /// Questions in the schedules that were filled.
    pub questions: u64,
    /// Students without a complete schedule at the end.
    pub lost: u64,
    /// Seconds of work.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// When this was noted: UTC, ISO 8601 without an offset.
    pub noted_at: String,
}

impl From<Noted<Standing>> for RebuildView {
    fn from(noted: Noted<Standing>) -> Self {
        let standing = noted.note;
        Self {
            state: standing.state,
            running: noted.running,
            done: standing.done,
            students: standing.students,
            questions: standing.questions,
            lost: standing.lost,
            seconds: standing.seconds,
            error: standing.error,
            noted_at: noted.modified_at,
        }
    }
}

/// Reads all of it.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn overview(site: &Site) -> Result<Overview> {
    let (mut listed, partitions, rebuilds, moving, reconciling, reconciliations, archives) = tokio::try_join!(
        seasons::all(&site.db, SEASONS + 1),
        partitions::all(site),
        work::all_noted::<Standing>(site, Kind::Rebuild),
        archive::on_the_move(site),
        state::is_held(&site.db, Kind::Reconcile.as_str()),
        reconcile::history(site),
        work::history(site, Kind::Archive),
    )?;
    let more_seasons = listed.len() > SEASONS as usize;
    listed.truncate(SEASONS as usize);
    // MariaDB takes spellings for the same that differ here: a partition keeps the one that
    // it was made with.
    let folded = |name: &str| name.to_lowercase();
    let mut partitions: HashMap<String, Stats> = partitions
        .into_iter()
        .map(|stats| {
            let name = stats.season.as_deref().unwrap_or(&stats.partition_name);
            (folded(name), stats)
        })
        .collect();
    let mut rebuilds: HashMap<Season, Noted<Standing>> = rebuilds.into_iter().collect();
    let mut moving: HashMap<Season, archive::Moving> = moving.into_iter().collect();
    let seasons = listed
        .into_iter()
        .map(|season| SeasonView {
            partition: partitions.remove(&folded(season.name.as_str())),
            rebuild: rebuilds.remove(&season.name).map(RebuildView::from),
            moving: moving.remove(&season.name),
            name: season.name.to_string(),
            is_active: season.is_active,
            enable_redis: season.enable_redis,
            auto_archive: season.auto_archive,
            start_date: season.start_date.map(|day| day.to_string()),
            end_date: season.end_date.map(|day| day.to_string()),
            archived_on: season.archived_on.map(iso_wall),
            reconciling: season.reconciling,
        })
        .collect();
    let mut other_partitions: Vec<Stats> = partitions.into_values().collect();
    other_partitions.sort_by(|a, b| a.partition_name.cmp(&b.partition_name));
    Ok(Overview {
        seasons,
        more_seasons,
        other_partitions,
        reconciling,
        reconciliations,
        archives,
    })
}
