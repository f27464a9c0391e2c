//! Outages of the cache as all hosts of a bench see them, on the queue Redis: which host
//! tells administrators.

use std::sync::{Arc, LazyLock};

use redis::Script;

use super::keys;
use crate::config::SiteConfig;
use crate::servers::redis::RedisLink;
use crate::types::UtcMicros;
use crate::{Error, Result};

static OUTAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/outage.lua")));

/// What is to be told of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// That it began.
    Began,
    /// That it ended.
    Ended,
}

/// Whose task it is to tell administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// This host's.
    Ours {
        /// When the first of all hosts noticed the outage, by the clock of Redis.
        since: UtcMicros,
        /// Now, by that clock.
        now: UtcMicros,
    },
    /// It is done.
    Done,
    /// Not this host's now: another one is about to, or is cut off still.
    NotYet,
}

/// One site's outages. See the module's documentation.
pub struct OutageBoard {
    redis: Arc<RedisLink>,
    outage_key: String,
    past_key: String,
}

impl OutageBoard {
    /// For one site, on the bench's queue Redis.
    pub fn new(redis: Arc<RedisLink>, config: &SiteConfig) -> Self {
        Self {
            redis,
            outage_key: keys::safe_mode_outage(&config.site),
            past_key: keys::safe_mode_past(&config.site),
        }
    }

    /// Whether `host`, which noticed the outage so long ago, is to tell administrators.
    /// While it is cut off, a host says so every minute (`Event::Began`).
    ///
    /// # Errors
    /// `Unavailable` if the queue Redis is away.
    pub async fn whose(&self, event: Event, host: u64, began_ms_ago: u64) -> Result<Telling> {
        let step = match event {
            Event::Began => "begin",
            Event::Ended => "end",
        };
        let answer = self.run(step, host, began_ms_ago).await?;
        let time = |place: usize| -> Result<UtcMicros> {
            let ms = answer.get(place).and_then(|text| text.parse::<i64>().ok());
            let ms = ms.ok_or_else(|| Error::internal("A script answered what it cannot"))?;
            Ok(UtcMicros(ms.saturating_mul(1000)))
        };
        Ok(match answer.first().map(String::as_str) {
            Some("tell") => Telling::Ours {
                since: time(1)?,
                now: time(2)?,
            },
            Some("told") => Telling::Done,
            _ => Telling::NotYet,
        })
    }

    /// Says that `host` has told it.
    ///
    /// # Errors
    /// As [`Self::whose`].
    pub async fn told(&self, event: Event, host: u64) -> Result<()> {
        let step = match event {
            Event::Began => "begin_told",
            Event::Ended => "end_told",
        };
        self.run(step, host, 0).await.map(|_| ())
    }

    async fn run(&self, step: &str, host: u64, began_ms_ago: u64) -> Result<Vec<String>> {
        let mut call = OUTAGE.prepare_invoke();
        call.key(&self.outage_key)
            .key(&self.past_key)
            .arg(step)
            .arg(format!("{host:016x}"))
            .arg(began_ms_ago);
        self.redis.script(&call).await
    }
}
