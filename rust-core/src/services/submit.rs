//! `submit_review_session`: take a student's answers, durably.
//!
//! 1. The states before: cache, else table and journal ([`super::prior`]). What cannot be
//!    had in time travels raw.
//! 2. The states after, absolute: applying them twice changes nothing.
//! 3. The hand-off, which makes it durable ([`super::handoff`]): queue and journal, or
//!    queue and disk. Without it no acknowledgement.
//! 4. The cache, in one step. Never before the hand-off, never undone.
//!
//! Of several attempts at one submission id one wins (rule C4): the others show its states
//! in the cache and give its answer.
//!
//! Nothing here waits long for a server that is slow: season, zone and states are believed
//! from before or done without, and each hand-off has its budget.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::answers::Answers;
use super::prior::{self, Asked};
pub use super::request::{Response, SubmitRequest};
use super::{Site, bounded, fill, handoff, seasons};
use crate::batch::{Attempt, Batch, Door, Submission, SubmissionKey};
use crate::queue::persistence_job_id;
use crate::store::journal;
use crate::store::seasons::SeasonRow;
use crate::types::{Player, UtcMicros};
use crate::{Error, ErrorKind, Result, failpoint};

/// How long looking for the same answers, taken before, may take.
const BEFORE: Duration = Duration::from_millis(400);

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
    let asked = Asked {
        player,
        season: &season,
        zone,
        answered: &answered,
    };
    let prior = match prior::soon(site, asked).await {
        Err(refused) if refused.kind() == ErrorKind::InvalidInput => {
            // What was taken before this could be asked stays taken.
            let winner = taken_before(site, player, request).await.ok_or(refused)?;
            return show(site, &season, &winner, false).await;
        }
        prior => prior?,
    };
    failpoint::hit(scope, "after_state").await?;
    let mut answers = Answers::new(&site.config.srs, &prior, zone, now);
    for response in &request.responses {
        if prior.is_known(&response.question_id) {
            answers.answer(response);
        } else {
            answers.defer(response);
        }
    }

    let submission = Submission {
        key: SubmissionKey {
            player: player.clone(),
            submission: request.submission.clone(),
        },
        season: season.name.clone(),
        attempt: Attempt::random()?,
        fingerprint: request.fingerprint(),
        batch: Batch::new(door, now.0, answers.into_items()),
    };
    let winner = handoff::hand_off(site, submission).await?;
    show(site, &season, &winner, prior.cached).await
}

/// The same answers under the same id, if they were taken before.
async fn taken_before(site: &Site, player: &Player, request: &SubmitRequest) -> Option<Submission> {
    let key = SubmissionKey {
        player: player.clone(),
        submission: request.submission.clone(),
    };
    let found = timeout(BEFORE, journal::find(&site.db, &key)).await;
    let winner = found.ok()?.ok()??;
    (winner.fingerprint == request.fingerprint()).then_some(winner)
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
    let shown = bounded::within(site.config.srs.state_budget, {
        let (site, player) = (site.clone(), player.clone());
        let (season, states) = (winner.season.clone(), winner.batch.states());
        async move { site.cache.apply(&player, &season, &states).await }
    });
    let shown = shown.await.unwrap_or_else(|| {
        let slow = "Redis is too slow";
        Err(Error::unavailable(slow, Duration::from_secs(1)))
    });
    failpoint::hit(scope, "after_cache").await?;
    let is_degraded = match shown {
        Ok(applied) => {
            let refill = !applied.complete || applied.overfull || !was_cached;
            if refill && season.enable_redis && season.name == winner.season {
                fill::in_background(site, player, &winner.season, None);
            }
            // What raw answers lead to shows when they are applied.
            winner.batch.has_raw()
        }
        Err(error) => {
            // In Safe Mode each would say so.
            if !site.safe_mode().is_active() {
                tracing::warn!(
                    site = scope,
                    ?error,
                    "A submit could not be shown in the cache"
                );
            }
            let student = (player, &winner.season);
            site.recovery.unconfirmed(&[student]).await;
            true
        }
    };
    Ok(SubmitAnswer {
        status: "success",
        processed: u32::try_from(winner.batch.acknowledged().count()).unwrap_or(u32::MAX),
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
