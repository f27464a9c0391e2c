//! Archiving without being asked, every day: seasons that want it, those whose archiving was
//! stopped, and what was written late for archived ones.

use std::collections::BTreeSet;

use serde::Serialize;

use super::note::{Note, State};
use super::{archive_season, season_state};
use crate::services::work::{self, Kind, Tell};
use crate::services::{Site, check};
use crate::store::archive as store;
use crate::store::partitions::{self, Partition};
use crate::types::{Season, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AutoReport {
    /// Seasons that were archived.
    pub archived: Vec<String>,
    /// Seasons that ask for it and are active, or not over, or that somebody is at.
    pub skipped: Vec<String>,
    /// Seasons that could not be archived.
    pub failed: Vec<Failed>,
    /// Rows written late for seasons archived before, that were merged.
    pub late_merged: u64,
}

/// A season that could not be archived.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// Which.
    pub season: String,
    /// Why.
    pub error: String,
}

/// Archives all seasons with `auto_archive` that are inactive and over, goes on with those
/// whose archiving was stopped, and merges what came late. One that fails is reported, and
/// the others follow.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn process_auto_archive(site: &Site, tell: &Tell) -> Result<AutoReport> {
    let (due, skipped) = asking(site).await?;
    let mut report = AutoReport {
        skipped,
        ..AutoReport::default()
    };
    for season in due {
        let archived = archive_season(site, season.as_str(), None, tell).await;
        report.add(&season, archived.map(|_| ()));
    }
    for season in archived_with_partition(site).await? {
        match archive_season(site, season.as_str(), None, tell).await {
            Ok(late) => report.late_merged += late.late_merged,
            Err(error) => report.add(&season, Err(error)),
        }
    }
    tracing::info!(
        site = site.config.site,
        ?report,
        "SRSArchiver looked for seasons to archive"
    );
    Ok(report)
}

/// What [`process_auto_archive`] would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AutoPlan {
    /// Seasons that would be archived.
    pub archive: Vec<String>,
    /// Seasons that ask for it and are active, or not over.
    pub skip: Vec<String>,
    /// Archived seasons that rows were written for since, which would be merged.
    pub merge: Vec<String>,
}

/// What [`process_auto_archive`] would do. Changes nothing.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn plan_auto(site: &Site) -> Result<AutoPlan> {
    let (due, skip) = asking(site).await?;
    let names = |seasons: Vec<Season>| seasons.into_iter().map(Season::into_string).collect();
    Ok(AutoPlan {
        archive: names(due.into_iter().collect()),
        skip,
        merge: names(archived_with_partition(site).await?),
    })
}

/// Seasons whose time has come, those whose archiving was stopped among them; and those
/// that ask for it too early.
async fn asking(site: &Site) -> Result<(BTreeSet<Season>, Vec<String>)> {
    let now = UtcMicros::now();
    let today = site.zone(now).await?.to_wall(now).date();
    let (mut due, mut early) = (BTreeSet::new(), Vec::new());
    for (season, is_due) in store::asking_for_archive(&site.db, today).await? {
        if is_due {
            due.insert(season);
        } else {
            early.push(season.to_string());
        }
    }
    let noted = work::all_noted::<Note>(site, Kind::Archive).await?;
    let stopped = noted.into_iter().filter(|(season, noted)| {
        // A check removes its own.
        noted.note.state == State::Archiving && !noted.running && !check::is_scratch(season)
    });
    for (season, _) in stopped {
        early.retain(|name| name != season.as_str());
        due.insert(season);
    }
    Ok((due, early))
}

impl AutoReport {
    fn add(&mut self, season: &Season, archived: Result<()>) {
        match archived {
            Ok(()) => self.archived.push(season.to_string()),
            // Somebody else is at it.
            Err(error) if is_under_way(&error) => self.skipped.push(season.to_string()),
            Err(error) => self.failed.push(Failed {
                season: season.to_string(),
                error: error.message().to_owned(),
            }),
        }
    }
}

fn is_under_way(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.message().ends_with("is under way")
}

/// Archived seasons that have a partition in the tracker: somebody wrote for them.
async fn archived_with_partition(site: &Site) -> Result<Vec<Season>> {
    let mut found = Vec::new();
    let partitions = partitions::all(&site.db).await?;
    for name in partitions.iter().filter_map(Partition::season) {
        match season_state(site, name).await {
            Ok(state) if state.archived_on.is_some() => found.push(state.name),
            // A partition of a season that is gone is not ours to judge.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
