//! Everything that one site's operations need, built once: the composition root.

use std::sync::Arc;

use crate::Result;
use crate::config::SiteConfig;
use crate::frappe::Authenticator;
use crate::servers::mariadb::MariaDb;
use crate::servers::redis::RedisLink;

/// One site with its connections.
pub struct Site {
    /// What its configuration files say.
    pub config: SiteConfig,
    /// The record.
    pub db: MariaDb,
    /// Redis with the schedules.
    pub srs_redis: Arc<RedisLink>,
    /// Redis with Frappe's sessions; the same link when both are one server.
    pub cache_redis: Arc<RedisLink>,
    /// Redis with RQ's queues.
    pub queue_redis: Arc<RedisLink>,
    /// Who is who here, as last read.
    pub auth: Authenticator,
}

impl Site {
    /// Describes a site; opens no connection.
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
            srs_redis,
            cache_redis,
            queue_redis,
            auth: Authenticator::new(),
            config,
        }))
    }
}
