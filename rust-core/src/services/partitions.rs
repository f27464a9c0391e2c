//! Seasons' partitions for those who manage them: Frappe's hooks, operators.
//!
//! The rules are in [`crate::store::partitions`]. A season's name is taken in any spelling
//! that MariaDB takes for the same.

use serde::Serialize;

use super::Site;
use crate::store::partitions::{self as store, Partition};
use crate::store::{migrate, seasons};
use crate::types::{Season, check_name};
use crate::{Error, Result};

/// One partition of the tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Its name, which says nothing reliable about its season.
    pub partition_name: String,
    /// Its season; `None` for a partition that is not one of ours.
    pub season: Option<String>,
    /// Rows, as InnoDB estimates.
    pub rows: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes of indexes.
    pub index_bytes: u64,
}

impl From<Partition> for Stats {
    fn from(partition: Partition) -> Self {
        Self {
            season: partition.season().map(str::to_owned),
            partition_name: partition.name,
            rows: partition.rows,
            data_bytes: partition.data_bytes,
            index_bytes: partition.index_bytes,
        }
    }
}

/// Makes the season's partition if it is missing; true if this call made it. Any number
/// of processes may call it at once.
///
/// With `note` the season must exist, and `partition_created` is set on it. Frappe's
/// `after_insert` hook calls it without: its transaction holds the season's row, which
/// nobody else sees or may write yet, and sets the field itself. That transaction must not
/// have read the tracker, or the ALTER waits for it in vain.
///
/// # Errors
/// `NotFound` for an unknown season (with `note`); `InvalidInput` for what is no season's
/// name; `Config` if the table is not partitioned by season; `Unavailable` if the lock
/// cannot be had within ten seconds.
pub async fn create(site: &Site, season: &str, note: bool) -> Result<bool> {
    check_name("season", season)?;
    if note {
        store::ensure(&site.db, &known(site, season).await?).await
    } else {
        store::make(&site.db, &Season::stored(season)).await
    }
}

/// Whether rows of this season have a partition.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn exists(site: &Site, season: &str) -> Result<bool> {
    store::exists(&site.db, &Season::stored(season)).await
}

/// Whether the tracker is partitioned.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn is_partitioned(site: &Site) -> Result<bool> {
    Ok(!store::all(&site.db).await?.is_empty())
}

/// All partitions of the tracker; empty if it has none.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn all(site: &Site) -> Result<Vec<Stats>> {
    let all = store::all(&site.db).await?;
    Ok(all.into_iter().map(Stats::from).collect())
}

/// All partitions, or the one of a season; empty if that has none.
///
/// # Errors
/// `NotFound` for an unknown season without a partition; `Unavailable` if the database is
/// away.
pub async fn stats(site: &Site, season: Option<&str>) -> Result<Vec<Stats>> {
    let Some(season) = season else {
        return all(site).await;
    };
    match store::of_season(&site.db, &Season::stored(season)).await? {
        Some(partition) => Ok(vec![partition.into()]),
        None => known(site, season).await.map(|_| Vec::new()),
    }
}

/// Makes the index of reads without the cache, `idx_pmt_player_season_review`, if it is
/// missing; true if this call made it. Others read and write meanwhile.
///
/// # Errors
/// `NotFound` if the tracker is not there; `Config` if it lacks a column of the index: run
/// the migration; `Unavailable` if a lock cannot be had within a minute, or a migration is
/// running.
pub async fn create_composite_index(site: &Site) -> Result<bool> {
    migrate::composite_index(&site.db).await
}

/// The season, in its stored spelling.
async fn known(site: &Site, season: &str) -> Result<Season> {
    match seasons::named(&site.db, season).await? {
        Some(row) => Ok(row.name),
        None => Err(Error::not_found(format!("Season {season} does not exist"))),
    }
}
