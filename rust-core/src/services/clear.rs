//! Forgetting a whole season's schedules, and what there is in the cache.
//!
//! Forgetting is always right: who reads next is answered from the table. It is done where a
//! season is not cached any more (`enable_redis` off, archived), and by an operator who
//! wants the cache anew.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::work::{Progress, Tell};
use super::{Site, safe_mode};
use crate::schedule_cache::{Counted, Counting};
use crate::store::seasons;
use crate::types::{Season, check_name};
use crate::{ErrorKind, Result};

/// How long counting all keys may take; what was not looked at by then is said.
const COUNTING: Duration = Duration::from_secs(2);

/// Forgets every schedule of `season`, with all that belongs to them; how many there were.
/// Names that hold colons or wildcards, or end as others do, are no matter. Students may
/// read and submit meanwhile. A fill that ends meanwhile may leave a schedule, as right as
/// any: see [`thoroughly`].
///
/// `tell` hears how many keys of the Redis were looked at.
///
/// # Errors
/// `Unavailable` if Redis is away, and part may be forgotten: call again.
pub async fn season(site: &Site, season: &Season, tell: &Tell) -> Result<u64> {
    let mut cleared = 0;
    let (_, total) = site.cache.size().await?;
    let mut next = Some(Counting::default());
    while let Some(at) = next.take() {
        tell(Progress::new("clearing", at.looked_at.min(total), total));
        let (there, more) = site.cache.clear_page(season, at).await?;
        cleared += there;
        next = more;
    }
    tracing::info!(site = site.config.site, %season, cleared, "Cache of a season cleared");
    Ok(cleared)
}

/// As [`season`], and once more when every process has noticed that the season is not
/// cached (`srs_season_cache_s`): what was filled until then goes, too. Takes so long.
///
/// # Errors
/// As [`season`].
pub async fn thoroughly(site: &Site, name: &Season, tell: &Tell) -> Result<u64> {
    let cleared = season(site, name, tell).await?;
    // A fill that has begun by then may read for a while.
    tokio::time::sleep(site.config.srs.season_cache + Duration::from_secs(1)).await;
    Ok(cleared + season(site, name, tell).await?)
}

/// The season of this name in its stored spelling; the name itself if there is none, as
/// one that was deleted may have left schedules.
///
/// # Errors
/// `InvalidInput` for what is no season's name; `Unavailable` if the database is away.
pub async fn named(site: &Site, name: &str) -> Result<Season> {
    check_name("season", name)?;
    let row = seasons::named(&site.db, name).await?;
    Ok(row.map_or_else(|| Season::stored(name), |row| row.name))
}

/// What there is in the Redis with the schedules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CacheStatus {
    /// Whether it answered.
    pub redis_connected: bool,
    /// Whether students are answered without it.
    pub is_safe_mode: bool,
    /// MiB that the server uses, for whatever is in it; 0 if it did not answer.
    pub memory_used_mb: f64,
    /// Schedules of this site. Companion keys do not count.
    pub total_keys: u64,
    /// The same by season.
    pub keys_by_season: Counted,
    /// Whether all keys of the Redis were looked at. There was no time to if not: then there
    /// are at least so many schedules.
    pub is_complete: bool,
    /// Keys of whomever that were looked at, roughly, and those that there are.
    pub keys_looked_at: u64,
    /// See `keys_looked_at`.
    pub keys_in_redis: u64,
}

/// What there is in the cache, counted for two seconds at most.
///
/// # Errors
/// `Internal` for an answer that no Redis should give. One that is away is no error.
pub async fn status(site: &Site) -> Result<CacheStatus> {
    let mut status = CacheStatus {
        redis_connected: false,
        is_safe_mode: false,
        memory_used_mb: 0.0,
        total_keys: 0,
        keys_by_season: Counted::new(),
        is_complete: false,
        keys_looked_at: 0,
        keys_in_redis: 0,
    };
    match count(site, &mut status).await {
        Ok(()) => status.redis_connected = true,
        Err(error) if error.kind() == ErrorKind::Unavailable => status.redis_connected = false,
        Err(error) => return Err(error),
    }
    status.is_safe_mode = !status.redis_connected || safe_mode::status(site).await.active;
    Ok(status)
}

async fn count(site: &Site, status: &mut CacheStatus) -> Result<()> {
    let end = Instant::now() + COUNTING;
    let (bytes, keys) = site.cache.size().await?;
    status.memory_used_mb = (bytes as f64 / 1024.0 / 1024.0 * 100.0).round() / 100.0;
    status.keys_in_redis = keys;
    let mut next = Some(Counting::default());
    while let Some(at) = next.take() {
        if Instant::now() >= end {
            status.keys_looked_at = at.looked_at.min(keys);
            return Ok(());
        }
        let (counted, more) = site.cache.count_page(at).await?;
        for (season, there) in counted {
            status.total_keys += there;
            *status.keys_by_season.entry(season).or_default() += there;
        }
        next = more;
    }
    (status.is_complete, status.keys_looked_at) = (true, keys);
    Ok(())
}
