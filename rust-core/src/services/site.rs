//! Everything that one site's operations need, built once: the composition root.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::fill::Fills;
use super::question_info::Unasked;
use super::seasons::{Seasons, Subjects};
use crate::config::SiteConfig;
use crate::frappe::Authenticator;
use crate::queue::Producer;
use crate::schedule_cache::ScheduleCache;
use crate::servers::mariadb::MariaDb;
use crate::servers::redis::RedisLink;
use crate::site_time::SiteZone;
use crate::types::UtcMicros;
use crate::{Error, Result};

/// How long a read waits for its turn on MariaDB.
const LOAD_WAIT: Duration = Duration::from_secs(2);

/// One site with its connections.
pub struct Site {
    /// What its configuration files say.
    pub config: SiteConfig,
    /// The record.
    pub db: MariaDb,
    /// Redis with Frappe's sessions; the same link as the schedules' when both are one
    /// server.
    pub cache_redis: Arc<RedisLink>,
    /// Redis with RQ's queues.
    pub queue_redis: Arc<RedisLink>,
    /// Who is who here, as last read.
    pub auth: Authenticator,
    /// Students' schedules.
    pub cache: ScheduleCache,
    /// Puts jobs into RQ's queue.
    pub producer: Producer,
    /// Which season is active, as last read.
    pub(super) seasons: Seasons,
    /// Stored spellings of subjects, as last read.
    pub(super) subjects: Subjects,
    /// New questions that apps are still to be asked about.
    pub(super) unasked: Unasked,
    /// Schedules being filled by this process.
    pub(super) fills: Fills,
    /// Reads of schedules on MariaDB at once.
    loads: Semaphore,
    /// The turn of fills where reads have but one.
    fill_alone: Semaphore,
    /// The zone last read, for when the database is away.
    last_zone: ArcSwapOption<SiteZone>,
}

impl Site {
    /// Describes a site; opens no connection and starts no task, so that it needs no
    /// runtime.
    ///
    /// # Errors
    /// `Config` if a URL cannot be read.
    pub fn open(config: SiteConfig) -> Result<Arc<Self>> {
        let cache_redis = Arc::new(RedisLink::new("redis_cache", config.redis_cache.expose())?);
        let srs_redis = if config.srs_redis == config.redis_cache {
            cache_redis.clone()
        } else {
            Arc::new(RedisLink::new(
                "srs_redis_cache",
                config.srs_redis.expose(),
            )?)
        };
        let queue_redis = Arc::new(RedisLink::new("redis_queue", config.redis_queue.expose())?);
        Ok(Arc::new(Self {
            db: MariaDb::new(&config.db, config.srs.mariadb_connections),
            cache_redis,
            auth: Authenticator::new(),
            cache: ScheduleCache::new(srs_redis, &config.site, &config.srs.key_prefix),
            producer: Producer::new(queue_redis.clone(), &config),
            queue_redis,
            seasons: Seasons::new(config.srs.season_cache),
            subjects: Subjects::new(),
            unasked: Unasked::default(),
            fills: Fills::new(config.srs.mariadb_loads),
            loads: Semaphore::new(config.srs.mariadb_loads),
            fill_alone: Semaphore::new(1),
            last_zone: ArcSwapOption::empty(),
            config,
        }))
    }

    /// The site's time zone, believed for 60 s; while the database is away, the last one.
    ///
    /// # Errors
    /// `Unavailable` if it was never read and the database is away.
    pub async fn zone(&self, now: UtcMicros) -> Result<SiteZone> {
        match self.auth.settings(&self.db, now).await {
            Ok(settings) => {
                let zone = settings.zone;
                if self.last_zone.load().as_deref() != Some(&zone) {
                    self.last_zone.store(Some(Arc::new(zone)));
                }
                Ok(zone)
            }
            Err(error) => self.last_zone.load().as_deref().copied().ok_or(error),
        }
    }

    /// Gives up the connections that nobody uses now.
    pub(super) async fn rest(&self) {
        self.cache_redis.rest();
        self.cache.rest();
        self.queue_redis.rest();
        self.db.rest().await;
    }

    /// A turn to read schedules on MariaDB: so many at once (`srs_mariadb_loads`), and
    /// nobody waits longer than two seconds for it.
    ///
    /// # Errors
    /// `Unavailable`, to come back in a second.
    pub(super) async fn load_turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turn(&self.loads).await
    }

    /// The same for a whole schedule, which may take a second. Where there is one turn in
    /// all (a process of two connections), everybody would wait for that second: then it
    /// is another turn, of which there is also one.
    ///
    /// # Errors
    /// `Unavailable`, to come back in a second.
    pub(super) async fn fill_turn(&self) -> Result<SemaphorePermit<'_>> {
        match self.config.srs.mariadb_loads {
            1 => self.turn(&self.fill_alone).await,
            _ => self.load_turn().await,
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
