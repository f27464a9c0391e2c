//! `submit_review_session`: take a student's answers, durably.
//!
//! 1. The states before: cache, else table and journal ([`super::prior`]).
//! 2. The states after, absolute: applying them twice changes nothing.
//! 3. The journal row, which makes it durable, beside the RQ job, which gets it applied
//!    soon. Without the row no acknowledgement; without the job the row is found later.
//! 4. The cache, in one step. Never before the journal, never undone.
//!
//! Of several attempts at one submission id the journal's row decides (rule C4): the
//! others show its states in the cache and give its answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::answers::Answers;
pub use super::request::{Response, SubmitRequest};
use super::{Site, fill, prior, seasons};
use crate::batch::{Attempt, Batch, Door, FORMAT, Submission, SubmissionKey};
use crate::queue::persistence_job_id;
use crate::servers::mariadb::MariaDb;
use crate::store::journal::{self, Inserted};
use crate::store::seasons::SeasonRow;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint};

/// How long the journal row may take before the submit is refused.
const JOURNAL_BUDGET: Duration = Duration::from_secs(2);
/// How long the job may take; the journal row stands without it.
const QUEUE_BUDGET: Duration = Duration::from_secs(1);
/// How long the loser of a submission looks for the winner.
const WINNER_BUDGET: Duration = Duration::from_millis(400);
/// When to come back after a 503.
const COME_BACK: Duration = Duration::from_secs(1);

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmitAnswer {
    /// "success".
    pub status: &'static str,
    /// Answers taken.
    pub processed: u32,
    /// XP of the whole batch.
    pub xp_earned: u32,
    /// The RQ job that applies it.
    pub persistence_job_id: String,
    /// Present and true when the new schedule may not show yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_degraded: bool,
}

/// Takes `player`'s answers.
///
/// # Errors
/// `InvalidInput` when no season is active or a question may not come, `Conflict` for a
/// used id with other content, `Unavailable` (with the submission id) when it could not
/// be made durable in time: repeating it with that id is safe, whatever happened.
pub async fn submit_review_session(
    site: &Arc<Site>,
    player: &Player,
    request: &SubmitRequest,
    door: Door,
    now: UtcMicros,
) -> Result<SubmitAnswer> {
    take(site, player, request, door, now)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Internal => {
                error.with_submission_id(request.submission.as_str())
            }
            _ => error,
        })
}

async fn take(
    site: &Arc<Site>,
    player: &Player,
    request: &SubmitRequest,
    door: Door,
    now: UtcMicros,
) -> Result<SubmitAnswer> {
    let scope = site.config.site.as_str();
    let season = seasons::active(site, now)
        .await?
        .ok_or_else(|| Error::invalid("No season is active"))?;
    let zone = site.zone(now).await?;
    let answered = request.responses.iter().map(|r| r.question_id.as_str());
    let answered: Vec<&str> = answered.collect();
    let prior = prior::find(site, player, &season, zone, &answered).await?;
    failpoint::hit(scope, "after_state").await?;
    let mut answers = Answers::new(&site.config.srs, &prior, zone, now);
    for response in &request.responses {
        answers.answer(response);
    }

    let submission = Submission {
        key: SubmissionKey {
            player: player.clone(),
            submission: request.submission.clone(),
        },
        season: season.name.clone(),
        attempt: Attempt::random()?,
        fingerprint: request.fingerprint(),
        batch: Batch {
            v: FORMAT,
            door,
            at: now.0,
            items: answers.into_items(),
        },
    };
    let (journaled, queued) =
        tokio::join!(write_journal(site, &submission), enqueue(site, &submission));
    if let Err(error) = queued {
        tracing::warn!(
            site = scope,
            ?error,
            "A job could not be queued; the journal has its row"
        );
    }
    let journaled = match journaled {
        Err(_) if failpoint::planted("ack_before_journal") => Ok(Inserted::Yes),
        journaled => journaled,
    };
    let winner = match journaled? {
        Inserted::Yes => submission,
        Inserted::Taken => winner(site, &submission).await?,
    };
    show(site, &season, &winner, prior.cached).await
}

/// The durable point.
pub(super) async fn write_journal(site: &Site, submission: &Submission) -> Result<Inserted> {
    let away = || Error::unavailable("The answers could not be stored in time", COME_BACK);
    let mut conn = site.db.conn().await?;
    let inserted = match timeout(JOURNAL_BUDGET, journal::insert(&mut conn, submission)).await {
        Ok(Ok(inserted)) => inserted,
        Ok(Err(error)) => {
            MariaDb::discard(conn);
            return Err(away().with_source(error));
        }
        Err(elapsed) => {
            // The statement may still be running: its connection must not be reused.
            MariaDb::discard(conn);
            return Err(away().with_source(elapsed));
        }
    };
    drop(conn);
    failpoint::hit(&site.config.site, "after_journal").await?;
    Ok(inserted)
}

async fn enqueue(site: &Site, submission: &Submission) -> Result<()> {
    match timeout(QUEUE_BUDGET, site.producer.enqueue(submission)).await {
        Ok(enqueued) => enqueued.map(|_| ())?,
        Err(elapsed) => {
            let slow = Error::unavailable("The queue is too slow", COME_BACK);
            return Err(slow.with_source(elapsed));
        }
    }
    failpoint::hit(&site.config.site, "after_queue").await
}

/// The attempt whose row is in the journal, for one that came later.
pub(super) async fn winner(site: &Site, ours: &Submission) -> Result<Submission> {
    let unreadable = || Error::unavailable("The same answers are being stored", COME_BACK);
    let winner = match timeout(WINNER_BUDGET, journal::find(&site.db, &ours.key)).await {
        Ok(Ok(Some(winner))) => winner,
        Ok(Ok(None)) => return Err(unreadable()),
        Ok(Err(error)) => return Err(unreadable().with_source(error)),
        Err(elapsed) => return Err(unreadable().with_source(elapsed)),
    };
    if winner.fingerprint == ours.fingerprint {
        Ok(winner)
    } else {
        let id = &ours.key.submission;
        let message = format!("submission_id {id} was used for other answers");
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

/// Shows the states in the cache and answers.
async fn show(
    site: &Arc<Site>,
    season: &SeasonRow,
    winner: &Submission,
    was_cached: bool,
) -> Result<SubmitAnswer> {
    let player = &winner.key.player;
    let scope = site.config.site.as_str();
    failpoint::hit(scope, "before_cache").await?;
    let shown = site
        .cache
        .apply(player, &winner.season, &winner.batch.states())
        .await;
    failpoint::hit(scope, "after_cache").await?;
    let is_degraded = match shown {
        Ok(applied) => {
            let refill = !applied.complete || applied.overfull || !was_cached;
            if refill && season.enable_redis && season.name == winner.season {
                fill::in_background(site, player, &winner.season, None);
            }
            false
        }
        Err(error) => {
            tracing::warn!(
                site = scope,
                ?error,
                "A submit could not be shown in the cache"
            );
            true
        }
    };
    Ok(SubmitAnswer {
        status: "success",
        processed: u32::try_from(winner.batch.items.len()).unwrap_or(u32::MAX),
        xp_earned: winner.batch.xp(),
        persistence_job_id: persistence_job_id(
            scope,
            site.config.rq_major,
            player,
            &winner.key.submission,
        ),
        is_degraded,
    })
}
