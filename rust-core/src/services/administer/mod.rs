//! What administrators ask for: the methods of `memora.api.srs`. Who is one is the door's to
//! judge.
//!
//! What takes long is a job of the app's on Frappe's queue `long`, the same whichever door
//! queues it: there is one place where it runs, and Desk hears of it. Up to [`AT_ONCE`] rows
//! are moved or deleted while the request waits.

mod arguments;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::arguments::{confirmed, sample_size, season_of, season_or_none};
use super::clear::{self, CacheStatus};
use super::{Site, archive, partitions, rebuild, reconcile, retention};
use crate::config::FrappeVersion;
use crate::queue::{LongCall, Requeued};
use crate::types::{Player, Season, UtcMicros};
use crate::{Error, Result};

/// Rows that are moved or deleted while the request waits; of more a job takes care.
pub const AT_ONCE: u64 = 100_000;

/// Items of a reconciliation that somebody asks for, at least; at most
/// [`reconcile::MAX_SAMPLE`].
pub const MIN_SAMPLE: u64 = 100;

/// Seconds that a job may take. What it has not done by then, the next one goes on with.
const JOB_SECONDS: u32 = 6 * 3600;

/// The job that fills a season's cache.
const REBUILD: &str = "memora.services.srs_rebuild.run";
/// The job that archives a season or deletes archived rows.
const ARCHIVER: &str = "memora.services.srs_archiver.run";

/// A request's arguments by name: typed from JSON, strings from query and form. `season` may
/// be called `season_name`.
pub type Args = Map<String, Value>;

/// A rebuild that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rebuilding {
    /// `started`; `already_running` if one is queued or under way.
    pub status: &'static str,
    /// The job's id, without the site.
    pub job_id: String,
    /// Rows of the season, as MariaDB estimates.
    pub estimated_records: u64,
}

/// Work that a job does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    /// `started`.
    pub status: &'static str,
    /// The job's id, without the site.
    pub job_id: String,
}

/// What became of work that is done at once, or by a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// A job does it.
    Started(Started),
}

/// Rows that were deleted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeletedNow {
    /// `completed`.
    pub status: &'static str,
    /// How many.
    pub deleted_count: u64,
}

/// Looks at the Redis with the schedules, for two seconds at most.
///
/// # Errors
/// As [`clear::status`].
pub async fn get_cache_status(site: &Site) -> Result<CacheStatus> {
    clear::status(site).await
}

/// Queues the filling of the schedules of all students of a season (`season`).
///
/// # Errors
/// `NotFound` for an unknown season; `InvalidInput` where none is named, or one that is
/// archived or not cached; `Unavailable` if a server is away.
pub async fn rebuild_season_cache(
    site: &Site,
    user: &Player,
    args: &Args,
    now: UtcMicros,
) -> Result<Rebuilding> {
    let season = season_of(site, args).await?;
    let name = &season.name;
    if season.archived {
        let message = format!("Season {name} has ended and is archived");
        return Err(Error::invalid(message));
    }
    if !season.enable_redis {
        let message = format!("Season {name} is not cached: Enable Redis is off");
        return Err(Error::invalid(message));
    }
    let job_id = job_id("rebuild", Some(name));
    let stats = partitions::stats(site, Some(name.as_str())).await?;
    let known = rebuild::status(site, name.as_str()).await?;
    let call = LongCall {
        method: REBUILD,
        id: &job_id,
        user,
        kwargs: json!({"season": name.as_str()}),
        timeout: JOB_SECONDS,
    };
    let started = !known.is_some_and(|known| known.running)
        && site.producer.call_long(&call, now).await? == Requeued::Queued;
    Ok(Rebuilding {
        status: if started {
            "started"
        } else {
            "already_running"
        },
        job_id,
        estimated_records: stats.iter().map(|partition| partition.rows).sum(),
    })
}

/// Compares `sample_size` (100 to 100,000; 10,000 if not given) random cached items with the
/// table, of one `season` if it is named, and corrects the cache, now.
///
/// # Errors
/// `InvalidInput` for another size or an archived season; `NotFound` for an unknown one;
/// `Unavailable` if a server is away or another run is under way.
pub async fn trigger_reconciliation(site: &Site, args: &Args) -> Result<reconcile::Report> {
    let size = sample_size(args)?;
    let season = season_or_none(site, args).await?;
    let options = reconcile::Options {
        season: season.map(|row| row.name.to_string()),
        ..reconcile::Options::sample(size)
    };
    reconcile::reconcile(site, &options, &|_| {}).await
}

/// Archives an inactive `season`, once `confirm` says so; over [`AT_ONCE`] rows in a job.
///
/// # Errors
/// `InvalidInput` for an active season, or without confirmation; `NotFound` for an unknown
/// one; `Conflict` if something is in the way; `Unavailable` if a run of it is under way, or a
/// server is away.
pub async fn archive_season(
    site: &Arc<Site>,
    user: &Player,
    args: &Args,
    now: UtcMicros,
) -> Result<Outcome<archive::Report>> {
    let season = season_of(site, args).await?.name;
    confirmed(args)?;
    let plan = archive::plan(site, season.as_str(), None).await?;
    if !plan.problems.is_empty() {
        return Err(Error::invalid(plan.problems.join(". ")));
    }
    if plan.rows > AT_ONCE {
        let kwargs = json!({"season_name": season.as_str()});
        let job = archiver(site, user, "archive_season", Some(&season), kwargs, now);
        return Ok(Outcome::Started(job.await?));
    }
    let report = archive::archive_season(site, season.as_str(), None, &|_| {}).await?;
    forget_document(site, &season).await;
    Ok(Outcome::Done(report))
}

/// Where the archiving of a `season` stands.
///
/// # Errors
/// `NotFound` for an unknown season; `InvalidInput` where none is named; `Unavailable` if the
/// database is away.
pub async fn get_archive_status(site: &Site, args: &Args) -> Result<archive::Status> {
    let season = season_of(site, args).await?.name;
    archive::get_archive_status(site, season.as_str()).await
}

/// Deletes rows flagged for deletion, of one `season` or of all, once `confirm` says so; over
/// [`AT_ONCE`] in a job.
///
/// # Errors
/// `InvalidInput` without confirmation; `NotFound` for an unknown season; `Unavailable` if this
/// runs already, or a server is away.
pub async fn delete_eligible_archived_records(
    site: &Site,
    user: &Player,
    args: &Args,
    now: UtcMicros,
) -> Result<Outcome<DeletedNow>> {
    let season = season_or_none(site, args).await?.map(|row| row.name);
    confirmed(args)?;
    let name = season.as_ref().map(Season::as_str);
    if retention::eligible(site, name).await? > AT_ONCE {
        let kwargs = json!({"season_name": name, "confirm": true});
        let function = "delete_eligible_records";
        let job = archiver(site, user, function, season.as_ref(), kwargs, now);
        return Ok(Outcome::Started(job.await?));
    }
    let deleted = retention::delete_eligible_records(site, name, true, &|_| {}).await?;
    Ok(Outcome::Done(DeletedNow {
        status: "completed",
        deleted_count: deleted.deleted_count,
    }))
}

/// Queues a function of the app's archiver unless it is queued already.
async fn archiver(
    site: &Site,
    user: &Player,
    function: &'static str,
    season: Option<&Season>,
    kwargs: Value,
    now: UtcMicros,
) -> Result<Started> {
    let job_id = job_id(function, season);
    let call = LongCall {
        method: ARCHIVER,
        id: &job_id,
        user,
        kwargs: json!({"function": function, "kwargs": kwargs}),
        timeout: JOB_SECONDS,
    };
    site.producer.call_long(&call, now).await?;
    Ok(Started {
        status: "started",
        job_id,
    })
}

/// As the app names its jobs: one for each season.
fn job_id(what: &str, season: Option<&Season>) -> String {
    let Some(season) = season else {
        return format!("memora_srs_{what}");
    };
    let digest = sha1_smol::Sha1::from(season.as_str()).digest().to_string();
    format!("memora_srs_{what}_{}", &digest[..12])
}

/// Makes Frappe forget what it has cached of a season, which is older now. Nobody waits for
/// it in vain: what is left is forgotten when it expires.
async fn forget_document(site: &Site, season: &Season) {
    let prefix = &site.config.db.name;
    let document = format!("Game Subscription Season::{season}");
    let mut forget = redis::pipe();
    match site.config.frappe {
        FrappeVersion::V14 => {
            forget.hdel(format!("{prefix}|document_cache"), document);
        }
        FrappeVersion::V15 | FrappeVersion::V16 => {
            forget.del(format!("{prefix}|document_cache::{document}"));
        }
    }
    if let Err(error) = site.cache_redis.pipeline::<()>(&forget).await {
        tracing::debug!(?error, %season, "Frappe's document cache was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `hashlib.sha1(season.encode()).hexdigest()[:12]` has it.
    #[test]
    fn jobs_are_named_as_the_app_names_them() {
        let season = Season::stored("SEASON-2026");
        assert_eq!(
            job_id("rebuild", Some(&season)),
            "memora_srs_rebuild_338482ab3629"
        );
        assert_eq!(
            job_id("delete_eligible_records", None),
            "memora_srs_delete_eligible_records"
        );
    }
}
