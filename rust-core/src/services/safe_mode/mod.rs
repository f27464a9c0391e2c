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
//! | `outage` | one notice to administrators when an outage begins, one when it ends |

mod counters;
mod limits;
mod outage;
mod shared_file;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use self::counters::{Student, Word};
use self::limits::{Hosts, millis};
use self::outage::Notices;
pub(crate) use self::outage::deliver;
use self::shared_file::{SharedFile, Words};
use super::{Site, schedule};
use crate::config::{SiteConfig, site_folder};
use crate::metrics::{Outcome, metrics};
use crate::queue::{HostLimits, OutageBoard};
use crate::servers::redis::RedisLink;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// One site's Safe Mode, in this process. See the module's documentation.
pub(super) struct SafeMode {
    file: SharedFile,
    hosts: Hosts,
    notices: Notices,
}

impl SafeMode {
    /// Opens nothing. After the same site under an earlier configuration: that this process
    /// was cut off stays known, so that it notices the end.
    pub(super) fn after(
        before: Option<&Self>,
        config: &SiteConfig,
        queue_redis: Arc<RedisLink>,
    ) -> Self {
        let board = OutageBoard::new(queue_redis.clone(), config);
        Self {
            file: SharedFile::new(site_folder(&config.sites_path, &config.site)),
            hosts: Hosts::new(HostLimits::new(queue_redis, config)),
            notices: Notices::after(before.map(|before| &before.notices), board),
        }
    }
}

/// How long an outage lasts before administrators are told: Redis is restarted in less, and a
/// process that starts may take a moment to make good what others missed.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// Asked at the top of the degraded path of a read, before anything is asked of MariaDB.
///
/// # Errors
/// `RateLimited` when `player`, or everybody together, reads too often.
pub(super) async fn admit(site: &Site, player: &Player) -> Result<()> {
    if is_outage(site) {
        outage::began(site).await;
    }
    let admitted = count(site, player, millis(UtcMicros::now())).await;
    let outcome = match admitted {
        Ok(()) => Outcome::Degraded,
        Err(_) => Outcome::Limited,
    };
    metrics().safe_mode_read(&site.config.site, outcome);
    admitted
}

/// Asked before anybody looks up who reads: in Safe Mode, once all together have read
/// enough, nothing is asked of any server.
///
/// # Errors
/// `RateLimited`, with the seconds to wait.
pub fn gate(site: &Site) -> Result<()> {
    if !site.safe_mode().is_active() {
        return Ok(());
    }
    // Reads that go no further keep it going, too.
    site.recovery.nudge();
    let now = millis(UtcMicros::now());
    let limits = limits::of(&site.config.srs);
    words(site)
        .counters()
        .all_left(limits, now)
        .map_err(limits::refused)
        .inspect_err(|_| metrics().safe_mode_read(&site.config.site, Outcome::Limited))
}

/// Looks, without a read, whether there is an outage to tell of, or its end. For who looks
/// after the site.
pub(super) async fn watch(site: &Site) {
    if !site.safe_mode().is_active() {
        outage::healthy(site).await;
    } else if is_outage(site) {
        outage::began(site).await;
    }
}

/// Notes an outage and has administrators told, as if the cache had been away long enough:
/// for tests that need not wait for one.
#[cfg(feature = "failpoints")]
pub async fn outage_began(site: &Site) {
    outage::began(site).await;
}

/// Called after a read that the cache answered.
pub(super) async fn healthy(site: &Site) {
    outage::healthy(site).await;
}

fn is_outage(site: &Site) -> bool {
    let outage = site.safe_mode().outage();
    let since = outage.began.filter(|_| outage.is_active());
    since.is_some_and(|since| {
        let lasts = UtcMicros::now().0.saturating_sub(since.0);
        u128::try_from(lasts).is_ok_and(|micros| micros >= WORTH_TELLING.as_micros())
    })
}

/// Whether Safe Mode lasts, so that reads are limited; also where this process has not
/// noticed yet that Redis is away.
pub async fn is_active(site: &Site) -> bool {
    site.safe_mode().is_active() || !schedule::is_available(site).await
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
    let all = site.limits.hosts.ask(HostLimits::all).await;
    all.map_or(here, |all| all.max(here))
}

/// When this student last read without the cache; `None` if that is not known (any more).
pub async fn last_request(site: &Site, player: &Player) -> Option<UtcMicros> {
    let here = words(site).counters().last(&Student::of(player.as_str()));
    let elsewhere = site.limits.hosts.ask(|hosts| hosts.last(player)).await;
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
        .limits
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
    let reset = site.limits.hosts.ask(HostLimits::reset_all).await;
    reset.ok_or_else(here_only)
}

/// What an operator wants to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Whether Redis is away now.
    pub active: bool,
    /// Reads without the cache of all students in this minute.
    pub requests: u64,
    /// How many there may be.
    pub global_limit: u64,
    /// Seconds between two of one student.
    pub user_seconds: u64,
    /// When the outage under way was noticed on this host, UTC.
    pub since: Option<String>,
    /// The outage before it, UTC.
    pub last: Option<Outage>,
    /// Whether administrators have been told all there is to tell.
    pub told: bool,
    /// The file in which this host counts, `None` if each process counts for itself.
    pub counters: Option<String>,
}

/// An outage that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outage {
    /// When it was noticed, UTC.
    pub began: String,
    /// When it was over, UTC.
    pub ended: String,
}

/// Safe Mode as this host sees it.
pub async fn status(site: &Site) -> Status {
    let SafeMode { file, .. } = &site.limits;
    let words = file.words();
    let counters = words.counters();
    let get = |word| counters.get(word);
    let (since, past) = (get(Word::OutageBegan), get(Word::PastBegan));
    let told =
        (since == 0 || get(Word::BeginTold) == since) && (past == 0 || get(Word::EndTold) == past);
    Status {
        active: is_active(site).await,
        requests: global_count(site).await,
        global_limit: site.config.srs.safe_mode_global_limit,
        user_seconds: site.config.srs.safe_mode_user.as_secs(),
        since: (since != 0).then(|| utc(since)),
        last: (past != 0).then(|| Outage {
            began: utc(past),
            ended: utc(get(Word::PastEnded)),
        }),
        told,
        counters: file.is_shared().then(|| file.path().display().to_string()),
    }
}

fn utc(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis);
    time.unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn here_only() -> Error {
    let message = "The queue Redis does not answer: only this host counts anew";
    Error::unavailable(message, Duration::from_secs(1))
}

async fn count(site: &Site, player: &Player, now: u64) -> Result<()> {
    let SafeMode { file, hosts, .. } = &site.limits;
    let limits = limits::of(&site.config.srs);
    limits::admit(file.words().counters(), hosts, player, limits, now).await
}

fn words(site: &Site) -> Arc<Words> {
    site.limits.file.words()
}
