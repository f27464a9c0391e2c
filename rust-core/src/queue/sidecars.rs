//! Which sidecars a bench has, and when each was last heard of.

use std::collections::HashMap;

use super::keys;
use super::worker::hostname;
use crate::Result;
use crate::servers::redis::RedisLink;
use crate::types::UtcMicros;

/// Seconds after which one that was not heard of is forgotten.
const FORGOTTEN: i64 = 86_400;
/// Seconds after which one that did not say that it ends has died.
pub const SIDECAR_LOST: i64 = 20;
/// Before the time, of one that said that it ends.
const STOPPED: char = '-';

/// A sidecar that was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Host and process.
    pub who: String,
    /// When: seconds since the epoch.
    pub at: i64,
    /// Whether it said then that it ends.
    pub stopped: bool,
}

/// This process, as a sidecar of a bench.
pub struct Sidecar {
    key: String,
    host: String,
    who: String,
}

impl Sidecar {
    /// Of this bench.
    pub fn this(bench_id: &str) -> Self {
        let host = hostname();
        Self {
            key: keys::sidecars(bench_id),
            who: format!("{host}:{}", std::process::id()),
            host,
        }
    }

    /// Says that it is there, or that it ends. What died on this host, or is long forgotten,
    /// is taken off the list.
    ///
    /// # Errors
    /// `Unavailable` if the queue's Redis is away.
    pub async fn tell(&self, redis: &RedisLink, ends: bool, now: UtcMicros) -> Result<()> {
        let seconds = now.0.div_euclid(1_000_000);
        let value = match ends {
            true => format!("{STOPPED}{seconds}"),
            false => seconds.to_string(),
        };
        let all = read(redis, &self.key).await?;
        let of_host = format!("{}:", self.host);
        let old = all.into_iter().filter(|seen| {
            let age = seconds - seen.at;
            let is_here = !ends && seen.who.starts_with(&of_host) && age > SIDECAR_LOST;
            seen.who != self.who && (is_here || age > FORGOTTEN)
        });
        let mut pipe = redis::pipe();
        pipe.hset(&self.key, &self.who, value).ignore();
        for seen in old {
            pipe.hdel(&self.key, seen.who).ignore();
        }
        pipe.expire(&self.key, FORGOTTEN).ignore();
        redis.pipeline(&pipe).await
    }
}

/// All that a bench has, in no order.
///
/// # Errors
/// `Unavailable` if the queue's Redis is away.
pub async fn sidecars(redis: &RedisLink, bench_id: &str) -> Result<Vec<Seen>> {
    read(redis, &keys::sidecars(bench_id)).await
}

async fn read(redis: &RedisLink, key: &str) -> Result<Vec<Seen>> {
    let mut all = redis::cmd("HGETALL");
    let all: HashMap<String, String> = redis.query(all.arg(key)).await?;
    Ok(all
        .into_iter()
        .filter_map(|(who, value)| {
            let stopped = value.strip_prefix(STOPPED);
            let at = stopped.unwrap_or(&value).parse().ok()?;
            Some(Seen {
                who,
                at,
                stopped: stopped.is_some(),
            })
        })
        .collect())
}
