//! The journal for an operator, and what became of a job. Command line, Python and Desk
//! call these.

use std::time::Duration;

use chrono::NaiveDateTime;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Site, report};
use crate::batch::SubmissionKey;
use crate::queue::{JobOutcome, hash_of_job, job_outcome, persistence_job_id};
use crate::servers::mariadb::MariaDb;
use crate::store::journal::operate::{self as store, Dismissal};
pub use crate::store::journal::operate::{Filter, State};
use crate::types::{Player, Season, SubmissionId, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// Rows listed, or changed by one call, at most.
pub const MOST: u32 = 1000;
/// How long one look at the journal may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A row of the journal, without its answers. Times are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Whose; what is no text is shown with replacement characters.
    pub player: String,
    /// Which submit.
    pub submission_id: String,
    /// Which season.
    pub season: String,
    /// What became of it.
    pub state: State,
    /// When it came.
    #[serde(serialize_with = "utc")]
    pub created_at: NaiveDateTime,
    /// When it was applied or dismissed.
    #[serde(serialize_with = "optional_utc")]
    pub applied_at: Option<NaiveDateTime>,
    /// When a sweeper comes by; `None` where that is soon, or never.
    #[serde(serialize_with = "optional_utc")]
    pub next_try_at: Option<NaiveDateTime>,
    /// How often it could not be applied.
    pub tries: u32,
    /// Why, the last time.
    pub error: Option<String>,
    /// Who works on it now.
    pub claimed_by: Option<String>,
    /// The job that applies it.
    pub job_id: String,
    /// Player and submission as they are stored.
    #[serde(skip)]
    key: (Vec<u8>, Vec<u8>),
}

/// A row of the journal with its answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Whole {
    /// The row.
    #[serde(flatten)]
    pub entry: Entry,
    /// When the cache was known to have it, UTC.
    #[serde(serialize_with = "optional_utc")]
    pub cached_at: Option<NaiveDateTime>,
    /// The attempt that won: 32 hex digits.
    pub attempt: String,
    /// What RQ says of its job; `None` if it knows none, or is away.
    pub rq_status: Option<String>,
    /// The batch; a text if it is no JSON.
    pub payload: Value,
}

/// What was done to rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The rows that were changed, or would be, as they were before.
    pub entries: Vec<Entry>,
    /// Those that were not: player, submission id, why.
    pub skipped: Vec<(String, String, String)>,
    /// Whether nothing was changed because only that was asked for.
    pub dry_run: bool,
    /// Whether there are more rows than one call changes.
    pub more: bool,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// Which.
    pub job_id: String,
    /// `queued`, `started`, `applied`, `failed` or `unknown`.
    pub status: &'static str,
    /// How often it could not be applied.
    pub tries: u32,
    /// Why, the last time.
    pub error: Option<String>,
}

/// Rows of the journal, `limit` (1 to [`MOST`]) of them after the first `start`; unapplied
/// ones oldest first, else newest first.
///
/// # Errors
/// `InvalidInput` for another limit, `Unavailable` if the database is away.
pub async fn list(site: &Site, filter: &Filter, start: u32, limit: u32) -> Result<Vec<Entry>> {
    if !(1..=MOST).contains(&limit) {
        return Err(Error::invalid(format!("limit must be 1 to {MOST}")));
    }
    let rows = MariaDb::within(PATIENCE, store::list(&site.db, filter, start, limit)).await?;
    Ok(rows.into_iter().map(|row| shown(site, row)).collect())
}

/// How many rows there are.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn count(site: &Site, filter: &Filter) -> Result<u64> {
    MariaDb::within(PATIENCE, store::count(&site.db, filter)).await
}

/// One row with its answers.
///
/// # Errors
/// `NotFound` if there is none, `Unavailable` if the database is away.
pub async fn show(site: &Site, player: &str, submission_id: &str) -> Result<Whole> {
    let found = store::show(&site.db, player.as_bytes(), submission_id.as_bytes());
    let found = MariaDb::within(PATIENCE, found).await?;
    let found = found.ok_or_else(|| missing(player, submission_id))?;
    let entry = shown(site, found.entry);
    let job = job_outcome(&site.queue_redis, &entry.job_id).await;
    Ok(Whole {
        cached_at: found.cached_at,
        attempt: hex::encode(found.attempt),
        rq_status: job.ok().flatten().map(|job| job.status),
        payload: serde_json::from_str(&found.payload)
            .unwrap_or_else(|_| Value::String(found.payload)),
        entry,
    })
}

/// Has rows tried again that are not applied, up to [`MOST`]: the next sweep takes them,
/// and their tries count anew.
///
/// # Errors
/// `InvalidInput` for rows that are applied or dismissed, `Unavailable` if the database is
/// away.
pub async fn retry(site: &Site, filter: &Filter, dry_run: bool) -> Result<Changed> {
    let mut changed = chosen(site, filter, dry_run).await?;
    if dry_run {
        return Ok(changed);
    }
    let mut done = Vec::new();
    for entry in changed.entries {
        let retried = store::retry(&site.db, &entry.key.0, &entry.key.1);
        if MariaDb::within(PATIENCE, retried).await? {
            done.push(entry);
        } else {
            changed.skipped.push(no_more(&entry));
        }
    }
    changed.entries = done;
    Ok(changed)
}

/// Gives up rows for good that are not applied, up to [`MOST`]: their answers go to
/// Frappe's Error Log and nowhere else, and the students see what they saw before them.
/// `by` is noted in the audit.
///
/// # Errors
/// As [`retry`].
pub async fn dismiss(site: &Site, filter: &Filter, by: &str, dry_run: bool) -> Result<Changed> {
    let mut changed = chosen(site, filter, dry_run).await?;
    if dry_run {
        return Ok(changed);
    }
    let now = UtcMicros::now();
    let zone = site.zone(now).await?;
    let mut done = Vec::new();
    for entry in changed.entries {
        let text = format!(
            "Dismissed by {by}: submission {} of {} in {}, taken at {} UTC, {} tries, last error: {}",
            entry.submission_id,
            entry.player,
            entry.season,
            entry.created_at,
            entry.tries,
            entry.error.as_deref().unwrap_or("none"),
        );
        let dismissal = Dismissal {
            title: report::ERROR_TITLE,
            text: &text,
            now: zone.to_wall(now),
            by,
        };
        let dismissed = store::dismiss(&site.db, &entry.key.0, &entry.key.1, dismissal);
        match MariaDb::within(PATIENCE, dismissed).await {
            Ok(true) => {
                forget_schedule(site, &entry).await;
                done.push(entry);
            }
            Ok(false) => changed.skipped.push(no_more(&entry)),
            Err(error) if site.db.conn().await.is_err() => return Err(error),
            Err(error) => {
                let why = error.to_string();
                let Entry {
                    player,
                    submission_id,
                    ..
                } = entry;
                changed.skipped.push((player, submission_id, why));
            }
        }
    }
    changed.entries = done;
    Ok(changed)
}

/// The cache shows the states of the row, which will never be in the table.
async fn forget_schedule(site: &Site, entry: &Entry) {
    let (player, season) = (Player::stored(&entry.player), Season::stored(&entry.season));
    if let Err(error) = site.cache.invalidate(&player, &season).await {
        tracing::warn!(
            site = site.config.site,
            player = entry.player,
            ?error,
            "A schedule shows a dismissed submit until it is filled anew"
        );
    }
}

/// The rows that a change is about.
async fn chosen(site: &Site, filter: &Filter, dry_run: bool) -> Result<Changed> {
    let unapplied = |state: &State| State::UNAPPLIED.contains(state);
    if !filter.states.iter().all(unapplied) {
        return Err(Error::invalid("What is applied or dismissed stays so"));
    }
    let entries = list(site, filter, 0, MOST).await?;
    Ok(Changed {
        more: entries.len() as u32 == MOST,
        entries,
        skipped: Vec::new(),
        dry_run,
    })
}

/// What became of a job of `persist_review_batch`, by the journal and by RQ.
///
/// `queued`: accepted, and will be applied by the job or a sweep. `started`: a worker has
/// it. `failed`: could not be applied, or was dismissed; with `tries` below
/// `srs_journal_tries` it is tried again by itself. `unknown`: of no job of this site, or
/// both have forgotten it (RQ after `rq_results_ttl`, the journal after
/// `srs_journal_days`).
///
/// # Errors
/// `Unavailable` if the database is away and RQ cannot tell.
pub async fn job_status(site: &Site, job_id: &str) -> Result<JobStatus> {
    let job = job_outcome(&site.queue_redis, job_id).await;
    let row = MariaDb::within(PATIENCE, row_of_job(site, job_id, job.as_ref().ok())).await;
    let known = |status, tries, error| JobStatus {
        job_id: job_id.to_owned(),
        status,
        tries,
        error,
    };
    let job = job.ok().flatten();
    let (tries, error) = match &row {
        Ok(Some(row)) => (row.tries, row.error.clone()),
        _ => (0, None),
    };
    let rq = job.as_ref().map(|job| job.status.as_str());
    Ok(match (row, rq) {
        (Ok(Some(row)), _) if row.state == State::Applied => known("applied", tries, None),
        (Ok(Some(row)), _) if row.state == State::Dismissed => {
            // Or it is what is left of a student who was renamed or deleted.
            let dismissed = store::was_dismissed(&site.db, &row);
            if MariaDb::within(PATIENCE, dismissed).await? {
                let why = row.error.as_deref().unwrap_or("by an operator");
                known("failed", row.tries, Some(format!("Dismissed: {why}")))
            } else {
                let why = "The student was renamed or deleted".to_owned();
                known("unknown", 0, Some(why))
            }
        }
        (_, Some("started")) => known("started", tries, error),
        (_, Some("queued" | "scheduled" | "deferred")) => known("queued", tries, error),
        (Ok(Some(row)), _) if matches!(row.state, State::Failed | State::Retrying) => {
            known("failed", tries, error)
        }
        (Ok(Some(_)), _) => known("queued", tries, error),
        (_, Some("finished")) => known("applied", 0, None),
        (_, Some(_)) => known("failed", 0, job.and_then(|job| job.error)),
        (Err(error), None) => return Err(error),
        (Ok(None), None) => known("unknown", 0, None),
    })
}

/// The journal row that a job points to.
async fn row_of_job(
    site: &Site,
    job_id: &str,
    job: Option<&Option<JobOutcome>>,
) -> Result<Option<store::Entry>> {
    if let Some(hash) = hash_of_job(site.config.rq_major, job_id) {
        let rows = store::of_job(&site.db, &hash).await?;
        let ours = |row: &store::Entry| shown(site, row.clone()).job_id == job_id;
        if let Some(row) = rows.into_iter().find(ours) {
            return Ok(Some(row));
        }
    }
    // A job of another shape names its submission itself, as long as RQ has it.
    let call = job.and_then(|job| job.as_ref()?.call.as_ref());
    let Some(call) = call.filter(|call| call.site == site.config.site) else {
        return Ok(None);
    };
    let submission = call.submission_id();
    let (player, submission) = (call.user.as_str(), submission.as_str());
    let found = store::show(&site.db, player.as_bytes(), submission.as_bytes()).await?;
    Ok(found.map(|whole| whole.entry))
}

fn shown(site: &Site, row: store::Entry) -> Entry {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (player, submission_id) = (text(&row.player), text(&row.submission_id));
    let key =
        SubmissionId::parse("submission_id", &submission_id).map(|submission| SubmissionKey {
            player: Player::stored(&player),
            submission,
        });
    let config = &site.config;
    let job_id = key
        .map(|key| persistence_job_id(&config.site, config.rq_major, &key.player, &key.submission));
    Entry {
        job_id: job_id.unwrap_or_default(),
        player,
        submission_id,
        season: text(&row.season),
        state: row.state,
        created_at: row.created_at,
        applied_at: row.applied_at,
        next_try_at: row.next_try_at,
        tries: row.tries,
        error: row.error,
        claimed_by: row.claimed_by,
        key: (row.player, row.submission_id),
    }
}

fn no_more(entry: &Entry) -> (String, String, String) {
    let why = "It is applied or dismissed meanwhile".to_owned();
    (entry.player.clone(), entry.submission_id.clone(), why)
}

fn missing(player: &str, submission_id: &str) -> Error {
    let message = format!("The journal has no submission {submission_id} of {player}");
    Error::new(ErrorKind::NotFound, message)
}

fn utc<S: Serializer>(at: &NaiveDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.format("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

fn optional_utc<S: Serializer>(
    at: &Option<NaiveDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => utc(at, serializer),
        None => serializer.serialize_none(),
    }
}
