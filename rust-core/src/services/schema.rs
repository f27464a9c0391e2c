//! The schema for Frappe's hooks and patches: see first, then do.
//!
//! The migration is one piece of work ([`migrate`]): key, indexes and partitions change in
//! a single ALTER, which rewrites the table, and rows must have a season and no duplicates
//! before. So each of the three historic patches does the whole of it; whichever comes
//! first does the work, the others find nothing to do.

use super::Site;
use crate::Result;
use crate::store::migrate;
pub use crate::store::migrate::{Options, Plan, Progress, Report, Step};
use crate::types::UtcMicros;

/// What [`apply`] would do, and roughly how long it would take. Changes nothing.
///
/// # Errors
/// `NotFound` if Frappe's tables are not there; `Unavailable` if the database is away.
pub async fn plan(site: &Site, now: UtcMicros) -> Result<Plan> {
    let wall = site.zone(now).await?.to_wall(now);
    migrate::plan(&site.db, wall).await
}

/// Does what is missing. A second run finds nothing to do; one after a run that was
/// stopped goes on. `progress` hears several times a second at most how far it is.
///
/// # Errors
/// Those of [`migrate::run`].
pub async fn apply(
    site: &Site,
    now: UtcMicros,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report> {
    let options = Options::at(site.zone(now).await?.to_wall(now));
    migrate::run(&site.db, &options, progress).await
}

/// Gives rows without a season one: the patch `fix_null_seasons`. All of [`apply`].
///
/// # Errors
/// As [`apply`].
pub async fn fix_null_seasons(site: &Site, now: UtcMicros) -> Result<Report> {
    apply(site, now, &|_| {}).await
}

/// Partitions the trackers by season: the patch `setup_partitioning`. All of [`apply`].
///
/// # Errors
/// As [`apply`].
pub async fn setup_partitioning(site: &Site, now: UtcMicros) -> Result<Report> {
    apply(site, now, &|_| {}).await
}

/// Makes the index of reads without the cache: the patch `add_safe_mode_index`. All of
/// [`apply`]; [`super::partitions::create_composite_index`] makes nothing but the index.
///
/// # Errors
/// As [`apply`].
pub async fn add_safe_mode_index(site: &Site, now: UtcMicros) -> Result<Report> {
    apply(site, now, &|_| {}).await
}
