//! The season and the user that a check has for itself, and removing them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::queue;
use crate::services::work::{Kind, Run};
use crate::services::{Site, schedule};
use crate::store::scratch as store;
use crate::types::{Player, Season, UtcMicros, new_ulid};
use crate::{ErrorKind, Result};

/// Names of seasons of checks begin with this, and no others may.
const PREFIX: &str = "MEMORA-CHECK-";
/// How old a season of a check is that was killed: no check takes so long.
const LEFT_S: i64 = 3600;
/// How long removing waits for a connection that was cut off half-way, or another's lock.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// Seconds since the season was changed, as everybody is to believe: longer than anybody
/// remembers a season (`srs_season_cache_s`, five minutes at most), so that archiving need not wait.
const AGE_S: i64 = 86_400;

/// Whether a season is one that a check made for itself.
pub(crate) fn is_scratch(season: &Season) -> bool {
    season.as_str().starts_with(PREFIX)
}

/// A season and a user of one check. Both have names that nobody else has.
pub(super) struct Scratch {
    pub(super) season: Season,
    pub(super) player: Player,
    /// Whether the tables may have something of it.
    made: AtomicBool,
    /// Whether Redis may.
    cached: AtomicBool,
    /// Whether the queue's Redis may.
    queued: AtomicBool,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self::of_ulid(&new_ulid(), false)
    }

    /// Of a check that may have made something, or has not begun.
    fn of_ulid(ulid: &str, made: bool) -> Self {
        let user = format!("memora-check-{}@check.invalid", ulid.to_lowercase());
        Self {
            season: Season::stored(format!("{PREFIX}{ulid}")),
            player: Player::stored(user),
            made: AtomicBool::new(made),
            cached: AtomicBool::new(made),
            queued: AtomicBool::new(made),
        }
    }

    pub(super) fn owner(&self) -> Result<schedule::Owner> {
        schedule::Owner::new(self.player.as_str(), self.season.as_str())
    }

    /// The queue that only its job goes to.
    pub(super) fn queue(&self) -> String {
        self.season.as_str().to_lowercase()
    }

    /// Something of it is about to be put into the queue's Redis.
    pub(super) fn queues(&self) {
        self.queued.store(true, Ordering::Relaxed);
    }

    /// Something of it is about to be put into Redis.
    pub(super) fn caches(&self) {
        self.cached.store(true, Ordering::Relaxed);
    }

    pub(super) async fn make(&self, site: &Site) -> Result<()> {
        let now = UtcMicros::now();
        // With the database away nothing is made.
        let zone = site.zone(now).await?;
        let at = zone.to_wall(now.plus_seconds(-AGE_S).floor_seconds());
        self.made.store(true, Ordering::Relaxed);
        self.caches();
        store::make(&site.db, &self.season, &self.player, at).await
    }

    /// Removes all there is of it: cache, tables, rows. May be called again.
    pub(super) async fn remove(&self, site: &Site) -> Result<()> {
        let unqueued = match self.queued.load(Ordering::Relaxed) {
            true => queue::remove(site, self).await,
            false => Ok(()),
        };
        let forgotten = match self.cached.load(Ordering::Relaxed) {
            true => site.cache.invalidate(&self.player, &self.season).await,
            false => Ok(false),
        };
        if !self.made.load(Ordering::Relaxed) {
            return forgotten.map(drop);
        }
        let mut run = self.alone(site).await?;
        let dropped = store::drop_partitions(run.held(), &self.season).await;
        run.end().await;
        dropped?;
        // With the season still there the next check finds what Redis has.
        forgotten?;
        unqueued?;
        let kinds = [
            Kind::Archive,
            Kind::Rebuild,
            Kind::Reconcile,
            Kind::Retention,
        ];
        let works = kinds.map(|kind| kind.name(Some(&self.season)));
        store::remove(&site.db, &self.season, &self.player, &works).await
    }

    /// The right to move the season's rows, which a check that was stopped half-way has for
    /// as long as the server works on its last statement.
    async fn alone(&self, site: &Site) -> Result<Run> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Run::begin(site, Kind::Archive, Some(&self.season)).await {
                Err(busy) if busy.kind() == ErrorKind::Unavailable && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                begun => return begun,
            }
        }
    }
}

/// Removes what checks left that were killed; how many.
pub(super) async fn remove_left(site: &Site) -> Result<u64> {
    let mut removed = 0;
    for season in store::left(&site.db, PREFIX).await? {
        let Some(ulid) = season.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        // What somebody else called so stays.
        let Ok(made) = ulid::Ulid::from_string(ulid) else {
            continue;
        };
        let made = i64::try_from(made.timestamp_ms()).unwrap_or(i64::MAX / 1000) / 1000;
        let now = UtcMicros::now().0 / 1_000_000;
        if now - made > LEFT_S {
            Scratch::of_ulid(ulid, true).remove(site).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
