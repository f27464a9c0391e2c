//! Everything that one site's operations need, built once: the composition root.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::bounded;
use super::fill::Fills;
use super::group_commit::GroupCommit;
use super::handoff::Handoffs;
use super::question_info::Unasked;
use super::recovery::Recovery;
use super::safe_mode::SafeMode;
use super::seasons::{Seasons, Subjects};
use super::unjournaled::Memory;
use crate::config::SiteConfig;
use crate::frappe::{Authenticator, Overrides};
use crate::queue::{Producer, Unjournaled};
use crate::schedule_cache::ScheduleCache;
use crate::servers::breaker::{Breaker, Holds};
use crate::servers::mariadb::MariaDb;
use crate::servers::redis::RedisLink;
use crate::site_time::SiteZone;
use crate::spool::Spool;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// How long a read waits for its turn on MariaDB.
const LOAD_WAIT: Duration = Duration::from_secs(2);
/// How long reading the zone may take.
const ZONE_WAIT: Duration = Duration::from_secs(2);
/// How long a request waits until it is known who sent it.
const LOGIN_WAIT: Duration = Duration::from_millis(1500);
/// How long a request waits for what it cannot do without and was never read. The reading
/// goes on, for the next request.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long the last zone is used without asking again, while the database is slow or away.
const ZONE_RETRY: Duration = Duration::from_secs(1);

/// One site with its connections.
pub struct Site {
    /// What its configuration files say.
    pub config: SiteConfig,
    /// The record.
    pub db: Arc<MariaDb>,
    /// Redis with the schedules.
    pub srs_redis: Arc<RedisLink>,
    /// Redis with Frappe's sessions; the same link as the schedules' when both are one
    /// server.
    pub cache_redis: Arc<RedisLink>,
    /// Redis with RQ's queues.
    pub queue_redis: Arc<RedisLink>,
    /// Who is who here, as last read.
    pub auth: Arc<Authenticator>,
    /// What apps and scripts put between a request and its method, as last read.
    pub(super) overrides: Overrides,
    /// Students' schedules.
    pub cache: ScheduleCache,
    /// Puts jobs into RQ's queue.
    pub producer: Arc<Producer>,
    /// What the journal does not have yet, on the queue's Redis.
    pub unjournaled: Arc<Unjournaled>,
    /// The same, on this host's disk.
    pub spool: Arc<Spool>,
    /// What this process still has to put into the journal.
    pub(super) unjournaled_memory: Arc<Memory>,
    /// Writes submits into the journal.
    pub(super) journal: Arc<GroupCommit>,
    /// Whether the journal and the queue are worth waiting for.
    pub(super) handoffs: Handoffs,
    /// Which season is active, as last read.
    pub(super) seasons: Arc<Seasons>,
    /// Stored spellings of subjects, as last read.
    pub(super) subjects: Subjects,
    /// New questions that apps are still to be asked about.
    pub(super) unasked: Unasked,
    /// Schedules being filled by this process.
    pub(super) fills: Fills,
    /// What is read while the cache is away.
    pub(super) limits: SafeMode,
    /// What the cache may lack, and making it good.
    pub(super) recovery: Recovery,
    /// Reads of schedules on MariaDB at once.
    loads: Semaphore,
    /// One more, which is for fills alone.
    fill_alone: Semaphore,
    /// The zone last read, for when the database is away.
    last_zone: ArcSwapOption<SiteZone>,
    /// Until when it is used without asking again.
    zone_lasts: ArcSwapOption<Instant>,
}

impl Site {
    /// Describes a site; opens no connection and starts no task, so that it needs no
    /// runtime.
    ///
    /// # Errors
    /// `Config` if a URL cannot be read.
    pub fn open(config: SiteConfig) -> Result<Arc<Self>> {
        Self::open_after(config, None)
    }

    /// As [`Site::open`], after the same site under an earlier configuration: what that knows
    /// to be missing in the cache, or in the journal, stays known.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub(super) fn open_after(config: SiteConfig, before: Option<&Self>) -> Result<Arc<Self>> {
        let breaker = |holds| Arc::new(Breaker::new(&config.site, holds));
        let safe_mode = breaker(Holds::Schedules);
        let is_shared = config.srs_redis == config.redis_cache;
        let name = if is_shared {
            "redis_cache"
        } else {
            "srs_redis_cache"
        };
        let srs_redis = RedisLink::guarded(name, config.srs_redis.expose(), safe_mode.clone())?;
        let cache_redis = if is_shared {
            srs_redis.clone()
        } else {
            let breaker = breaker(Holds::Sessions);
            RedisLink::guarded("redis_cache", config.redis_cache.expose(), breaker)?
        };
        let queue_redis = Arc::new(RedisLink::new("redis_queue", config.redis_queue.expose())?);
        let db = Arc::new(MariaDb::new(&config.db, config.srs.mariadb_connections));
        Ok(Arc::new_cyclic(|site| Self {
            recovery: Recovery::new(
                site.clone(),
                &config.site,
                safe_mode,
                srs_redis.clone(),
                queue_redis.clone(),
                before.map(|site| &site.recovery),
            ),
            journal: GroupCommit::new(db.clone()),
            db,
            cache_redis,
            auth: Arc::new(Authenticator::new(config.srs.mariadb_connections)),
            overrides: Overrides::default(),
            cache: ScheduleCache::new(srs_redis.clone(), &config.site, &config.srs.key_prefix),
            producer: Arc::new(Producer::new(queue_redis.clone(), &config)),
            unjournaled: Arc::new(Unjournaled::new(queue_redis.clone(), &config)),
            spool: Spool::new(config.spool_dir()),
            unjournaled_memory: Memory::after(
                before.map(|site| &site.unjournaled_memory),
                before.is_some_and(|site| site.config.redis_queue == config.redis_queue),
            ),
            handoffs: Handoffs::default(),
            limits: SafeMode::after(
                before.map(|site| &site.limits),
                &config,
                queue_redis.clone(),
            ),
            queue_redis,
            srs_redis,
            seasons: Arc::new(Seasons::new(config.srs.season_cache)),
            subjects: Subjects::new(),
            unasked: Unasked::default(),
            fills: Fills::new(config.srs.mariadb_loads),
            // Together as many as are allowed; a process of one has one of each.
            loads: Semaphore::new(config.srs.mariadb_loads.saturating_sub(1).max(1)),
            fill_alone: Semaphore::new(1),
            last_zone: ArcSwapOption::empty(),
            zone_lasts: ArcSwapOption::empty(),
            config,
        }))
    }

    /// The site's time zone, believed for 60 s; while the database is slow or away, the
    /// last one.
    ///
    /// # Errors
    /// `Unavailable` if it was never read and the database is away.
    pub async fn zone(&self, now: UtcMicros) -> Result<SiteZone> {
        let last = self.last_zone.load().as_deref().copied();
        let lasts = self.zone_lasts.load().as_deref().copied();
        if let Some(zone) = last
            && lasts.is_some_and(|until| until > Instant::now())
        {
            return Ok(zone);
        }
        let (auth, db) = (self.auth.clone(), self.db.clone());
        let read = async move { MariaDb::within(ZONE_WAIT, auth.settings(&db, now)).await };
        let settings = match last {
            None => bounded::within(self.first_wait(), read).await,
            Some(_) => bounded::within(self.moment(), read).await,
        };
        match (settings, last) {
            (Some(Ok(settings)), _) => {
                let zone = settings.zone;
                if last != Some(zone) {
                    self.last_zone.store(Some(Arc::new(zone)));
                }
                Ok(zone)
            }
            (Some(Err(error)), None) => Err(error),
            (_, Some(zone)) => {
                let until = Instant::now() + ZONE_RETRY;
                self.zone_lasts.store(Some(Arc::new(until)));
                Ok(zone)
            }
            (None, None) => Err(Error::unavailable("The database is too slow", ZONE_RETRY)),
        }
    }

    /// Gives up the connections that nobody uses now.
    pub(super) async fn rest(&self) {
        self.cache_redis.rest();
        self.cache.rest();
        self.queue_redis.rest();
        self.db.rest().await;
    }

    /// Whether nothing was asked of the database since [`Self::rest`].
    pub(super) fn is_at_rest(&self) -> bool {
        !self.db.was_used()
    }

    /// How long a request waits for what it could also believe from before.
    pub(super) fn moment(&self) -> Duration {
        self.config.srs.state_budget / 2
    }

    /// How long a request waits for what was never read.
    pub(super) fn first_wait(&self) -> Duration {
        FIRST_WAIT + self.moment()
    }

    /// How long a request waits until it is known who sent it: for the door, which lets the
    /// look-up go on for the next request.
    pub fn login_wait(&self) -> Duration {
        LOGIN_WAIT + self.moment()
    }

    /// A turn to read schedules on MariaDB: so many at once (`srs_mariadb_loads`), and
    /// nobody waits longer than two seconds for it.
    ///
    /// # Errors
    /// `Unavailable`, to come back in a second.
    pub(super) async fn load_turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turn(&self.loads).await
    }

    /// The same for a whole schedule, which may take a second. There is one that readers
    /// never take: else a fill might not come to its turn while many read, and they read from
    /// the table because no fill comes to its turn.
    ///
    /// # Errors
    /// `Unavailable`, to come back in a second.
    pub(super) async fn fill_turn(&self) -> Result<SemaphorePermit<'_>> {
        if self.config.srs.mariadb_loads == 1 {
            // Everybody would wait for that second.
            return self.turn(&self.fill_alone).await;
        }
        tokio::select! {
            biased;
            turn = self.turn(&self.fill_alone) => turn,
            turn = self.turn(&self.loads) => turn,
        }
    }

    async fn turn<'a>(&self, turns: &'a Semaphore) -> Result<SemaphorePermit<'a>> {
        let busy = || Error::unavailable("The database is too busy", Duration::from_secs(1));
        match tokio::time::timeout(LOAD_WAIT, turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(busy()),
        }
    }
}
