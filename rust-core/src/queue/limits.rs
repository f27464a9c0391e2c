//! Limits of Safe Mode for all hosts of a bench, on the queue Redis.

use std::sync::{Arc, LazyLock};

use redis::Script;
use sha2::{Digest, Sha256};

use super::keys;
use crate::config::SiteConfig;
use crate::servers::redis::RedisLink;
use crate::types::Player;
use crate::{Error, Result};

static LIMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/limit.lua")));

/// Hex digits of a student's hash in a key.
const DIGITS: usize = 32;

/// What the hosts together say to a read without the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is let in, and counted.
    In,
    /// All students together read too much; milliseconds to wait.
    AllWait(u64),
    /// This student does; milliseconds to wait.
    StudentWaits(u64),
}

/// One site's limits. See the module's documentation.
pub struct HostLimits {
    redis: Arc<RedisLink>,
    site: String,
    all_key: String,
}

impl HostLimits {
    /// For one site, on the bench's queue Redis.
    pub fn new(redis: Arc<RedisLink>, config: &SiteConfig) -> Self {
        Self {
            redis,
            site: config.site.clone(),
            all_key: keys::safe_mode_all(&config.site),
        }
    }

    /// Lets a read of `player` in, if all together read less than `most` times a minute
    /// and the student not within `student_ms`. One round trip.
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away, full, or refuses.
    pub async fn admit(
        &self,
        player: &Player,
        most: u64,
        student_ms: u64,
        now_ms: u64,
    ) -> Result<Turn> {
        let mut call = LIMIT.prepare_invoke();
        call.key(&self.all_key)
            .key(self.student_key(player))
            .arg(most)
            .arg(student_ms)
            .arg(now_ms);
        let (word, wait): (String, u64) = self.redis.script(&call).await?;
        match word.as_str() {
            "in" => Ok(Turn::In),
            "all" => Ok(Turn::AllWait(wait)),
            "student" => Ok(Turn::StudentWaits(wait)),
            _ => Err(Error::internal("A script answered what it cannot")),
        }
    }

    /// Reads of all together in this minute; 0 when nobody has read.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn all(&self) -> Result<u64> {
        let count: Option<u64> = self.redis.query(&redis::Cmd::get(&self.all_key)).await?;
        Ok(count.unwrap_or(0))
    }

    /// When this student last read, milliseconds; `None` once that holds nobody back.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn last(&self, player: &Player) -> Result<Option<u64>> {
        let key = self.student_key(player);
        self.redis.query(&redis::Cmd::get(key)).await
    }

    /// Counts all together anew.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn reset_all(&self) -> Result<()> {
        self.redis.query(&redis::Cmd::del(&self.all_key)).await
    }

    /// Lets this student read at once.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn reset_student(&self, player: &Player) -> Result<()> {
        let key = self.student_key(player);
        self.redis.query(&redis::Cmd::del(key)).await
    }

    fn student_key(&self, player: &Player) -> String {
        let mut hash = hex::encode(Sha256::digest(player.as_str()));
        hash.truncate(DIGITS);
        keys::safe_mode_student(&self.site, &hash)
    }
}
