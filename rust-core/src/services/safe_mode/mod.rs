//! Safe Mode: what is served while the Redis with the schedules is away, and how much.
//!
//! Reads come from the table then, which all students at once would be too much for:
//! `srs_safe_mode_global_limit` reads a minute of all together, and one of each student in
//! `srs_safe_mode_user_seconds`. Who is over gets an error of the kind `RateLimited` that
//! says how long to wait. Submits are not limited.
//!
//! | file | job |
//! |---|---|
//! | `counters` | counting in shared words, by atomic steps |
//! | `shared_file` | the words of one host, as a file that all processes map |
//! | `limits` | this host's words and all hosts' Redis, together |

mod counters;
mod limits;
mod shared_file;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::counters::Student;
use self::limits::{Hosts, millis};
use self::shared_file::{SharedFile, Words};
use super::{Site, schedule};
use crate::config::{SiteConfig, site_folder};
use crate::queue::HostLimits;
use crate::servers::redis::RedisLink;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// One site's Safe Mode, in this process. See the module's documentation.
pub(super) struct SafeMode {
    file: SharedFile,
    hosts: Hosts,
    /// Milliseconds since 1970: when a read of this process last went without the cache.
    degraded_at: AtomicU64,
}

impl SafeMode {
    /// Opens nothing.
    pub(super) fn new(config: &SiteConfig, queue_redis: Arc<RedisLink>) -> Self {
        Self {
            file: SharedFile::new(site_folder(&config.sites_path, &config.site)),
            hosts: Hosts::new(HostLimits::new(queue_redis, config)),
            degraded_at: AtomicU64::new(0),
        }
    }
}

/// For how long a process that read without the cache takes Redis to be away.
const BELIEVED_MS: u64 = 2000;

/// Asked at the top of the degraded path of a read, before anything is asked of MariaDB.
///
/// # Errors
/// `RateLimited` when `player`, or everybody together, reads too often.
pub(super) async fn admit(site: &Site, player: &Player) -> Result<()> {
    let now = millis(UtcMicros::now());
    let degraded_at = &site.safe_mode.degraded_at;
    degraded_at.store(now, Ordering::Relaxed);
    count(site, player, now).await
}

/// Asked before anybody looks up who reads: while the cache is away and all together have
/// read enough, nothing is asked of any server.
///
/// # Errors
/// `RateLimited`, with the seconds to wait.
pub fn gate(site: &Site) -> Result<()> {
    let now = millis(UtcMicros::now());
    let degraded_at = &site.safe_mode.degraded_at;
    let degraded_at = degraded_at.load(Ordering::Relaxed);
    if now >= degraded_at.saturating_add(BELIEVED_MS) {
        return Ok(());
    }
    let words = site.safe_mode.file.words();
    let limits = limits::of(&site.config.srs);
    words
        .counters()
        .all_left(limits, now)
        .map_err(limits::refused)
}

/// Whether Redis is away now, so that reads are limited.
pub async fn is_active(site: &Site) -> bool {
    !schedule::is_available(site).await
}

/// Whether this student may read without the cache now. If so, it counts as a read.
///
/// # Errors
/// None that the limits are the reason for.
pub async fn check_rate_limit(site: &Site, player: &Player) -> Result<bool> {
    match count(site, player, millis(UtcMicros::now())).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::RateLimited => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads without the cache of all students together in this minute, on all hosts as far
/// as the queue Redis answers, else on this one.
pub async fn global_count(site: &Site) -> u64 {
    let here = words(site).counters().all(millis(UtcMicros::now()));
    let all = site.safe_mode.hosts.ask(HostLimits::all).await;
    all.map_or(here, |all| all.max(here))
}

/// When this student last read without the cache; `None` if that is not known (any more).
pub async fn last_request(site: &Site, player: &Player) -> Option<UtcMicros> {
    let here = words(site).counters().last(&Student::of(player.as_str()));
    let elsewhere = site.safe_mode.hosts.ask(|hosts| hosts.last(player)).await;
    let last = here.max(elsewhere.flatten())?;
    i64::try_from(last)
        .ok()
        .map(|ms| UtcMicros(ms.saturating_mul(1000)))
}

/// Lets this student read at once, on all hosts.
///
/// # Errors
/// `Unavailable` if the queue Redis does not answer: it is so on this host alone.
pub async fn reset_student(site: &Site, player: &Player) -> Result<()> {
    words(site)
        .counters()
        .reset_student(&Student::of(player.as_str()));
    let reset = site
        .safe_mode
        .hosts
        .ask(|hosts| hosts.reset_student(player))
        .await;
    reset.ok_or_else(here_only)
}

/// Counts all students together anew, on all hosts.
///
/// # Errors
/// As [`reset_student`].
pub async fn reset_global(site: &Site) -> Result<()> {
    words(site).counters().reset_all();
    let reset = site.safe_mode.hosts.ask(HostLimits::reset_all).await;
    reset.ok_or_else(here_only)
}

fn here_only() -> Error {
    let message = "The queue Redis does not answer: only this host counts anew";
    Error::unavailable(message, Duration::from_secs(1))
}

async fn count(site: &Site, player: &Player, now: u64) -> Result<()> {
    let SafeMode { file, hosts, .. } = &site.safe_mode;
    let limits = limits::of(&site.config.srs);
    limits::admit(file.words().counters(), hosts, player, limits, now).await
}

fn words(site: &Site) -> Arc<Words> {
    site.safe_mode.file.words()
}
