//! The ten checks, in the order in which they run: the later ones use what the earlier ones
//! have made.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use super::queue;
use super::safe_mode::{self, Nowhere};
use super::scratch::Scratch;
use crate::config::SiteConfig;
use crate::servers::redis::RedisLink;
use crate::servers::refusal;
use crate::services::persist::{JobOptions, persist_review_batch};
use crate::services::read::{ReviewRequest, get_review_session};
use crate::services::reconcile::{self, Scope};
use crate::services::{Site, archive, partitions, rebuild, schedule};
use crate::site_time::iso_wall;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// Questions of the season, of one batch.
const QUESTIONS: usize = 30;
/// Of these one read asks for, so that "how many are due" is another number.
const ASKED: u32 = 20;
/// Questions of one read without the cache.
const DEGRADED: usize = 10;
/// Oldest major version of Redis whose commands are enough.
const REDIS: u32 = 6;
/// The submit of its answers.
pub(super) const SUBMISSION: &str = "check";
/// Named in the audit, whose rows go too.
pub(super) const WORKER: &str = "memora-srs check";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Redis,
    SortedSets,
    Partition,
    Persistence,
    LazyLoad,
    Reconciliation,
    Rebuild,
    SafeMode,
    Limits,
    Archiving,
}

impl Check {
    pub(super) const ALL: [Self; 10] = [
        Self::Redis,
        Self::SortedSets,
        Self::Partition,
        Self::Persistence,
        Self::LazyLoad,
        Self::Reconciliation,
        Self::Rebuild,
        Self::SafeMode,
        Self::Limits,
        Self::Archiving,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis connects",
            Self::SortedSets => "sorted-set commands",
            Self::Partition => "partition hook",
            Self::Persistence => "persistence",
            Self::LazyLoad => "lazy load",
            Self::Reconciliation => "reconciliation",
            Self::Rebuild => "rebuild",
            Self::SafeMode => "Safe Mode",
            Self::Limits => "limits",
            Self::Archiving => "archiving",
        }
    }

    /// Checks without which this one could only fail for the same reason.
    pub(super) fn needs(self) -> &'static [Self] {
        match self {
            Self::Redis | Self::Partition => &[],
            Self::SortedSets => &[Self::Redis],
            Self::Persistence => &[Self::Partition],
            Self::SafeMode | Self::Archiving => &[Self::Persistence],
            Self::LazyLoad | Self::Rebuild => &[Self::Redis, Self::Persistence],
            Self::Reconciliation => &[Self::LazyLoad],
            Self::Limits => &[Self::SafeMode],
        }
    }

    /// What to do about this error of it.
    pub(super) fn remedy(self, error: &Error) -> &'static str {
        if refusal::login(error).is_some() {
            return "mend the configuration: memora-srs check-config says what is in use, and \
                    where it is from";
        }
        if queue::is_of(error) {
            return "see redis_queue of the site's configuration, and that its Redis takes what is \
                    written: memora-srs status";
        }
        match self {
            Self::Partition | Self::Persistence if refusal::is_away(error) => {
                "start MariaDB, or see db_host and db_port of the site's configuration: \
                 memora-srs status"
            }
            Self::Redis => {
                "start it (bench start, or supervisorctl status), and see that redis_cache, \
                 redis_queue and srs_redis_cache of the site's configuration name it: \
                 memora-srs check-config; Redis 6 or later"
            }
            Self::SortedSets => {
                "give the site's Redis user the sorted-set, hash and scripting commands; a Redis \
                 that another site uses with the same keys needs srs_key_prefix: memora-srs status"
            }
            Self::Partition => {
                "memora-srs migrate --dry-run says what the tables lack; the database user needs \
                 ALTER, CREATE and DROP on them"
            }
            Self::Persistence => {
                "memora-srs migrate --dry-run says what the tables lack; the message names what \
                 MariaDB refused"
            }
            Self::LazyLoad => {
                "see that Redis has memory left (memora-srs status), and that nothing else \
                 writes keys that begin with srs:"
            }
            Self::Reconciliation => "memora-srs reconcile --dry-run says what differs",
            Self::Rebuild => {
                "see that Redis has memory left and does not evict what is being filled: \
                 memora-srs status"
            }
            Self::SafeMode => {
                "memora-srs migrate --dry-run: reads without Redis need the index \
                 idx_pmt_player_season_review"
            }
            Self::Limits => {
                "see that this user may write to the system's temporary folder and to \
                 private/memora_srs of the site, in which reads are counted"
            }
            Self::Archiving => {
                "the database user needs CREATE, ALTER, DROP and LOCK TABLES; memora-srs archive \
                 --dry-run of a season that is over says what is in the way"
            }
        }
    }

    pub(super) async fn run(self, site: &Arc<Site>, scratch: &Scratch) -> Result<String> {
        match self {
            Self::Redis => redis(site).await,
            Self::SortedSets => sorted_sets(site, scratch).await,
            Self::Partition => partition(site, scratch).await,
            Self::Persistence => persistence(site, scratch).await,
            Self::LazyLoad => lazy_load(site, scratch).await,
            Self::Reconciliation => reconciliation(site, scratch).await,
            Self::Rebuild => rebuilding(site, scratch).await,
            Self::SafeMode => degraded(site, scratch).await,
            Self::Limits => limits(site, scratch).await,
            Self::Archiving => archiving(site, scratch).await,
        }
    }
}

/// Fails with what was seen, unless it is what must be.
fn expect(right: bool, seen: impl FnOnce() -> String) -> Result<()> {
    if right {
        Ok(())
    } else {
        Err(Error::internal(seen()))
    }
}

async fn redis(site: &Site) -> Result<String> {
    let SiteConfig {
        redis_cache,
        srs_redis,
        ..
    } = &site.config;
    let mut links = vec![
        ("redis_cache", &site.cache_redis),
        ("redis_queue", &site.queue_redis),
    ];
    if srs_redis != redis_cache {
        links.insert(0, ("srs_redis_cache", &site.srs_redis));
    }
    let mut seen = Vec::new();
    for (name, link) in links {
        let version = version(link).await?;
        let major = version
            .split('.')
            .next()
            .and_then(|n| n.parse::<u32>().ok());
        expect(major.is_some_and(|major| major >= REDIS), || {
            format!("{name} is Redis {version}; {REDIS} or later is needed")
        })?;
        seen.push(format!("{name} is Redis {version}"));
    }
    Ok(seen.join(", "))
}

/// As the server says.
async fn version(link: &RedisLink) -> Result<String> {
    let mut info = redis::cmd("INFO");
    let text: String = link.query(info.arg("server")).await?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("of unknown version").to_owned())
}

async fn sorted_sets(site: &Site, scratch: &Scratch) -> Result<String> {
    let (owner, now) = (scratch.owner()?, UtcMicros::now());
    scratch.caches();
    let at = |seconds| now.plus_seconds(seconds).0 as f64 / 1e6;
    let items = [("C:0".to_owned(), at(-60)), ("C:1".to_owned(), at(3600))];
    schedule::add_batch(site, &owner, &items, None, now).await?;
    let due = schedule::due_items(site, &owner, 10, now).await?;
    expect(due == ["C:0"], || {
        format!("of C:0, overdue, and C:1 due are {due:?}")
    })?;
    expect(schedule::remove_item(site, &owner, "C:0").await?, || {
        "a question that was added could not be removed".to_owned()
    })?;
    let due = schedule::due_items(site, &owner, 10, now).await?;
    expect(due.is_empty(), || {
        format!("after its removal are due {due:?}")
    })?;
    schedule::clear(site, &owner).await?;
    Ok("added, read, removed".to_owned())
}

async fn partition(site: &Site, scratch: &Scratch) -> Result<String> {
    scratch.make(site).await?;
    let season = scratch.season.as_str();
    expect(partitions::create(site, season, true).await?, || {
        "a new season had a partition already".to_owned()
    })?;
    expect(partitions::exists(site, season).await?, || {
        "the partition that was made is not there".to_owned()
    })?;
    expect(!partitions::create(site, season, true).await?, || {
        "the partition was made twice".to_owned()
    })?;
    Ok("a new season has its partition".to_owned())
}

async fn persistence(site: &Arc<Site>, scratch: &Scratch) -> Result<String> {
    let now = UtcMicros::now();
    let zone = site.zone(now).await?;
    let due = zone.to_wall(now.floor_seconds()) - TimeDelta::hours(1);
    let answers: Vec<_> = (0..QUESTIONS)
        .map(|n| {
            json!({"question_id": question(n), "quality": 4, "new_stability": 2.0,
                   "new_next_review_date": iso_wall(due - TimeDelta::minutes(n as i64))})
        })
        .collect();
    // Handed in twice: it has one effect.
    for _ in 0..2 {
        let options = JobOptions {
            submission_id: Some(SUBMISSION.to_owned()),
            ..JobOptions::default()
        };
        let (user, season) = (scratch.player.as_str(), scratch.season.as_str());
        let answers = json!(answers);
        let done = persist_review_batch(site, answers, user, season, options, WORKER).await?;
        expect(done.processed_count == QUESTIONS as u64, || {
            format!(
                "{} of {QUESTIONS} answers were applied",
                done.processed_count
            )
        })?;
    }
    let rows =
        crate::store::archive::count(&site.db, crate::store::archive::TRACKER, &scratch.season);
    let rows = rows.await?;
    expect(rows == QUESTIONS as u64, || {
        format!("{QUESTIONS} answers led to {rows} rows")
    })?;
    queue::through(site, scratch).await?;
    Ok(format!(
        "{QUESTIONS} answers are in the table, once, and went through the queue"
    ))
}

async fn lazy_load(site: &Arc<Site>, scratch: &Scratch) -> Result<String> {
    let (owner, now) = (scratch.owner()?, UtcMicros::now());
    schedule::clear(site, &owner).await?;
    let all = QUESTIONS + 1;
    let (ids, filled) = schedule::due_items_with_rehydration(site, &owner, all, now).await?;
    expect(filled && ids.len() == QUESTIONS, || {
        format!(
            "{} of {QUESTIONS} questions came, filled: {filled}",
            ids.len()
        )
    })?;
    let (again, filled) = schedule::due_items_with_rehydration(site, &owner, all, now).await?;
    expect(!filled && again == ids, || {
        "the schedule was not in the cache after it was filled".to_owned()
    })?;
    let read = get_review_session(site, &scratch.player, &asking(scratch), now).await?;
    expect(
        read.total_due == QUESTIONS as u64
            && read.questions.len() == ASKED as usize
            && !read.is_degraded,
        || format!("{} of {} due came", read.questions.len(), read.total_due),
    )?;
    Ok(format!(
        "{QUESTIONS} questions came from the table, then from Redis"
    ))
}

async fn reconciliation(site: &Arc<Site>, scratch: &Scratch) -> Result<String> {
    let (owner, question) = (scratch.owner()?, question(0));
    let options = reconcile::Options {
        scope: Scope::Student(scratch.player.as_str().to_owned()),
        season: Some(scratch.season.as_str().to_owned()),
        dry_run: false,
        seed: None,
    };
    schedule::remove_item(site, &owner, &question).await?;
    let found = reconcile::reconcile(site, &options, &|_| {}).await?;
    expect(found.missing == 1 && found.auto_corrected == 1, || {
        format!(
            "of one question that the cache lacked {} were found, {} corrected",
            found.missing, found.auto_corrected
        )
    })?;
    let again = reconcile::reconcile(site, &options, &|_| {}).await?;
    expect(again.discrepancies_found == 0, || {
        format!("{} differ after the correction", again.discrepancies_found)
    })?;
    Ok("one missing question found and put right".to_owned())
}

async fn rebuilding(site: &Arc<Site>, scratch: &Scratch) -> Result<String> {
    let owner = scratch.owner()?;
    schedule::clear(site, &owner).await?;
    let options = rebuild::Options {
        from_start: true,
        ..rebuild::Options::default()
    };
    let season = scratch.season.as_str();
    let report = rebuild::run(site, season, &options, &|_| {}).await?;
    let there = schedule::stats(site, &owner, UtcMicros::now()).await?;
    expect(
        report.total_keys == 1 && there.total_items == QUESTIONS as u64,
        || {
            format!(
                "{} schedules were filled, with {} of {QUESTIONS} questions",
                report.total_keys, there.total_items
            )
        },
    )?;
    Ok(format!("a schedule of {QUESTIONS} questions filled"))
}

/// Reads of one who is not counted yet, on a Redis that is nowhere.
async fn degraded(site: &Site, scratch: &Scratch) -> Result<String> {
    let nowhere = Nowhere::of(site)?;
    let asked = asking(scratch);
    let read = get_review_session(&nowhere.site, &scratch.player, &asked, UtcMicros::now()).await;
    nowhere.close().await;
    let read = read?;
    expect(
        read.is_degraded && read.questions.len() == DEGRADED && read.total_due == QUESTIONS as u64,
        || {
            format!(
                "without Redis came {} of {} due, is_degraded {}",
                read.questions.len(),
                read.total_due,
                read.is_degraded
            )
        },
    )?;
    Ok(format!(
        "without Redis {DEGRADED} questions come from the table"
    ))
}

async fn limits(site: &Site, scratch: &Scratch) -> Result<String> {
    let nowhere = Nowhere::of(site)?;
    let limited = limited(&nowhere.site, scratch).await;
    nowhere.close().await;
    limited
}

async fn limited(nowhere: &Arc<Site>, scratch: &Scratch) -> Result<String> {
    let asked = asking(scratch);
    let read =
        async |player: &Player| match get_review_session(nowhere, player, &asked, UtcMicros::now())
            .await
        {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::RateLimited => Ok(true),
            Err(error) => Err(error),
        };
    let mut refused = vec![read(&scratch.player).await?, read(&scratch.player).await?];
    for n in 2..=safe_mode::ALL {
        refused.push(read(&Player::stored(format!("{n}.{}", scratch.player))).await?);
    }
    refused.push(read(&Player::stored(format!("last.{}", scratch.player))).await?);
    let mut right = vec![false, true];
    right.resize(right.len() + safe_mode::ALL as usize - 1, false);
    right.push(true);
    expect(refused == right, || {
        format!("refused were {refused:?} instead of {right:?}")
    })?;
    Ok("one student's second read is refused, and all beyond the limit of a minute".to_owned())
}

async fn archiving(site: &Site, scratch: &Scratch) -> Result<String> {
    let season = scratch.season.as_str();
    let report = archive::archive_season(site, season, None, &|_| {}).await?;
    let rows = report.records_archived;
    expect(rows == QUESTIONS as u64, || {
        format!("{rows} of {QUESTIONS} rows went into the archive")
    })?;
    let there = archive::get_archived_schedule(site, &scratch.player, season, "", 1000).await?;
    expect(there.len() == QUESTIONS, || {
        format!("{} of {QUESTIONS} rows are in the archive", there.len())
    })?;
    Ok(format!("{rows} rows archived ({})", report.method.as_str()))
}

fn asking(scratch: &Scratch) -> ReviewRequest {
    ReviewRequest {
        subject: None,
        limit: ASKED,
        season: Some(scratch.season.as_str().to_owned()),
    }
}

fn question(n: usize) -> String {
    format!("C:{n}")
}
