//! Failures that an operator could not be told of, because the database was away too. They
//! wait on the queue Redis until somebody can.

use redis::Cmd;

use super::keys;
use crate::Result;
use crate::servers::redis::RedisLink;

/// So many are kept; what an outage adds above that says nothing new.
const MOST: u64 = 1000;

/// Keeps the text about a job, in place of an earlier one.
///
/// # Errors
/// `Unavailable` if the queue Redis is away.
pub async fn keep(redis: &RedisLink, site: &str, what: &str, text: &str) -> Result<()> {
    let key = keys::untold(site);
    let kept: u64 = redis.query(&Cmd::hlen(&key)).await?;
    if kept < MOST {
        let _: u64 = redis.query(&Cmd::hset(&key, what, text)).await?;
    }
    Ok(())
}

/// What is kept: what it is about, and the text.
///
/// # Errors
/// As [`keep`].
pub async fn all(redis: &RedisLink, site: &str) -> Result<Vec<(String, String)>> {
    redis.query(&Cmd::hgetall(keys::untold(site))).await
}

/// Forgets one that was told.
///
/// # Errors
/// As [`keep`].
pub async fn told(redis: &RedisLink, site: &str, what: &str) -> Result<()> {
    let _: u64 = redis.query(&Cmd::hdel(keys::untold(site), what)).await?;
    Ok(())
}
