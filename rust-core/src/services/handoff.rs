//! Making a submit durable, before it is acknowledged (rules C3 to C5).
//!
//! 1. The *queue*: one script takes the submission's token and enqueues its job. Of several
//!    attempts at one submission that are on their way at once, the token tells which one
//!    is written; the others write what that one computed. So an attempt that computed on
//!    top of what another has shown already never gets into the journal.
//! 2. The *journal*: one INSERT. The row is durable, and from then on it decides who won,
//!    whatever the token says. Without the queue it is enough.
//! 3. Without the journal in time, two places together are enough: the queue with an entry
//!    for all who read ([`crate::queue::Unjournaled`]), and a disk, which is this host's
//!    ([`crate::spool`]) or that of the queue's Redis (its append-only file). The row is
//!    then made in the background ([`super::unjournaled`]).
//! 4. Without that: 503, and nothing was shown. It does not mean that nothing happened; the
//!    same id again has the one effect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Site, bounded, unjournaled};
use crate::batch::Submission;
use crate::queue::{Enqueued, Noted};
use crate::servers::mariadb::MariaDb;
use crate::store::journal::{self, Inserted};
use crate::types::UtcMicros;
use crate::{Error, ErrorKind, Result, failpoint};

/// How long the entry on the queue's Redis may take.
const NOTE_BUDGET: Duration = Duration::from_millis(100);
/// How long the disk may take: to sync what all who wait have written.
const SPOOL_BUDGET: Duration = Duration::from_millis(200);
/// How long the loser of a submission looks for the winner.
const WINNER_BUDGET: Duration = Duration::from_millis(400);
/// When to come back after a 503.
const COME_BACK: Duration = Duration::from_secs(1);
/// How long a server that failed is not waited for.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Whether a server is worth waiting for.
pub(super) struct Worth {
    /// Failures in a row after which it is not.
    limit: u32,
    state: Mutex<(u32, Option<Instant>)>,
}

impl Worth {
    fn after(limit: u32) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Whether to wait for it. While it fails, one caller a second tries.
    fn waiting(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut state.1 {
            Some(until) if *until > now => false,
            Some(until) => {
                *until = now + LEFT_ALONE;
                true
            }
            None => true,
        }
    }

    fn report(&self, answered: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *state = (0, None);
        } else {
            state.0 = state.0.saturating_add(1);
            if state.0 >= self.limit {
                state.1 = Some(Instant::now() + LEFT_ALONE);
            }
        }
    }
}

/// What of a site's servers is worth waiting for.
pub(super) struct Handoffs {
    journal: Worth,
    queue: Worth,
}

impl Default for Handoffs {
    fn default() -> Self {
        Self {
            journal: Worth::after(3),
            queue: Worth::after(1),
        }
    }
}

/// Makes a submit durable; the attempt at it that won, which is the one to be shown.
///
/// # Errors
/// `Conflict` if the id was used for other answers; `Unavailable` if it is not known to be
/// durable.
pub(super) async fn hand_off(site: &Arc<Site>, ours: Submission) -> Result<Arc<Submission>> {
    let ours = Arc::new(ours);
    let wait_for_journal = site.handoffs.journal.waiting();
    let queued = enqueue(site, &ours, wait_for_journal).await;
    let attempt = ours.attempt;
    // What is to be written: ours, unless another attempt at it is known to be ahead.
    let mut ahead_unread = false;
    let submission = match &queued {
        Ok(queued) if queued.winner != ours.attempt => match ahead(site, &ours, queued).await {
            Ok(Some(ahead)) => Arc::new(same_answers(ahead, &ours)?),
            Ok(None) => {
                // Its job is done and forgotten, so its row is there; or it died before
                // anything of it could be read, so nobody was told that it counts.
                ahead_unread = true;
                ours
            }
            // It may have been acknowledged and shown, and ours computed on top of that:
            // only its row can tell.
            Err(_) => return winner(site, &ours).await.map(Arc::new),
        },
        Ok(_) => ours,
        Err(error) => {
            tracing::warn!(
                site = site.config.site,
                ?error,
                "A job could not be queued; the journal hands on"
            );
            ours
        }
    };
    let journaled = if wait_for_journal {
        let budget = site.config.srs.journal_budget;
        let journaled = match &queued {
            // Its row may be there, and perhaps locked: others are not to wait for that.
            Ok(queued) if queued.winner != attempt => {
                write_journal(site, &submission, budget).await
            }
            _ => write_together(site, &submission, budget).await,
        };
        site.handoffs.journal.report(journaled.is_ok());
        journaled
    } else {
        Err(refused())
    };
    match journaled {
        Err(_) if failpoint::planted("ack_before_journal") => Ok(submission),
        Ok(Inserted::Yes) => Ok(submission),
        Ok(Inserted::Taken) => winner(site, &submission).await.map(Arc::new),
        Err(_) if ahead_unread => Err(unreadable()),
        Err(error) => {
            tracing::debug!(site = site.config.site, ?error, "Going without the journal");
            without_journal(site, queued, submission).await
        }
    }
}

fn refused() -> Error {
    Error::unavailable("The answers could not be stored in time", COME_BACK)
}

fn unreadable() -> Error {
    Error::unavailable("The same answers are being stored", COME_BACK)
}

async fn enqueue(
    site: &Site,
    submission: &Arc<Submission>,
    journal_may_do: bool,
) -> Result<Enqueued> {
    let queue = &site.handoffs.queue;
    let patience = if queue.waiting() || !journal_may_do {
        site.config.srs.journal_budget
    } else {
        // It is tried all the same.
        Duration::ZERO
    };
    let (producer, submission) = (site.producer.clone(), submission.clone());
    let queued = bounded::within(patience, async move { producer.enqueue(&submission).await });
    let queued = queued
        .await
        .unwrap_or_else(|| Err(Error::unavailable("The queue is too slow", COME_BACK)));
    queue.report(queued.is_ok());
    if queued.is_ok() {
        failpoint::hit(&site.config.site, "after_queue").await?;
    }
    queued
}

/// The attempt that holds the token; `None` if nothing of it is there.
///
/// # Errors
/// `Unavailable` if that cannot be said.
async fn ahead(site: &Site, ours: &Submission, queued: &Enqueued) -> Result<Option<Submission>> {
    let (entries, ours, attempt) = (site.unjournaled.clone(), ours.clone(), queued.winner);
    let found = bounded::within(winner_budget(site), async move {
        entries.winner(&ours, attempt).await
    });
    found.await.unwrap_or_else(|| Err(unreadable()))
}

fn winner_budget(site: &Site) -> Duration {
    WINNER_BUDGET.max(site.config.srs.journal_budget)
}

/// The journal row, within `budget`, by a statement that makes others' rows too.
///
/// # Errors
/// As [`write_journal`].
async fn write_together(
    site: &Site,
    submission: &Submission,
    budget: Duration,
) -> Result<Inserted> {
    let inserted = site.journal.insert(submission, Instant::now() + budget);
    let inserted = inserted.await.map_err(|e| refused().with_source(e))?;
    failpoint::hit(&site.config.site, "after_journal").await?;
    Ok(inserted)
}

/// The journal row, within `budget`.
///
/// # Errors
/// `Unavailable`: the row may or may not be there.
pub(super) async fn write_journal(
    site: &Site,
    submission: &Submission,
    budget: Duration,
) -> Result<Inserted> {
    let deadline = Instant::now() + budget;
    let mut conn = site.db.conn_within(budget).await?;
    let inserted = match timeout_at(deadline, journal::insert(&mut conn, submission)).await {
        Ok(Ok(inserted)) => inserted,
        Ok(Err(error)) => {
            MariaDb::discard(conn);
            return Err(refused().with_source(error));
        }
        Err(elapsed) => {
            // The statement may still be running: its connection must not be reused.
            MariaDb::discard(conn);
            return Err(refused().with_source(elapsed));
        }
    };
    drop(conn);
    failpoint::hit(&site.config.site, "after_journal").await?;
    Ok(inserted)
}

/// The attempt whose row is in the journal, for one that came later.
///
/// # Errors
/// `Conflict` if it has other answers; `Unavailable` if it cannot be read in time.
pub(super) async fn winner(site: &Site, ours: &Submission) -> Result<Submission> {
    let found = timeout(winner_budget(site), journal::find(&site.db, &ours.key)).await;
    match found {
        Ok(Ok(Some(winner))) => same_answers(winner, ours),
        Ok(Ok(None)) => Err(unreadable()),
        Ok(Err(error)) => Err(unreadable().with_source(error)),
        Err(elapsed) => Err(unreadable().with_source(elapsed)),
    }
}

fn same_answers(winner: Submission, ours: &Submission) -> Result<Submission> {
    if winner.fingerprint == ours.fingerprint {
        return Ok(winner);
    }
    let id = &ours.key.submission;
    let message = format!("submission_id {id} was used for other answers");
    Err(Error::new(ErrorKind::Conflict, message))
}

/// Queue and disk in the journal's place. Each must be known to have it.
async fn without_journal(
    site: &Arc<Site>,
    queued: Result<Enqueued>,
    submission: Arc<Submission>,
) -> Result<Arc<Submission>> {
    queued.map_err(|error| refused().with_source(error))?;
    let json = submission.to_json()?;
    let noted = bounded::within(NOTE_BUDGET.max(site.config.srs.journal_budget), {
        let (entries, submission) = (site.unjournaled.clone(), submission.clone());
        async move { entries.note(&submission, UtcMicros::now()).await }
    });
    let spool_budget = SPOOL_BUDGET.max(site.config.srs.journal_budget);
    let spooled = timeout(spool_budget, site.spool.append(&json));
    let (noted, spooled) = tokio::join!(noted, spooled);
    match noted {
        Some(Ok(Noted::Yes)) => {}
        Some(Ok(Noted::Lost)) => return Err(unreadable()),
        Some(Err(error)) => return Err(refused().with_source(error)),
        None => return Err(refused()),
    }
    failpoint::hit(&site.config.site, "after_note").await?;
    let spooled = match spooled {
        Ok(spooled) => spooled,
        Err(elapsed) => {
            Err(Error::unavailable("The disk is too slow", COME_BACK).with_source(elapsed))
        }
    };
    if let Err(error) = spooled {
        let on_disk = bounded::within(NOTE_BUDGET, {
            let (entries, submission) = (site.unjournaled.clone(), submission.clone());
            async move { entries.is_on_disk(&submission).await }
        });
        if !matches!(on_disk.await, Some(Ok(true))) {
            tracing::warn!(
                site = site.config.site,
                ?error,
                "Neither journal nor disk has a submit: it is refused"
            );
            return Err(refused().with_source(error));
        }
    }
    failpoint::hit(&site.config.site, "after_spool").await?;
    unjournaled::insert_later(site, Submission::clone(&submission));
    Ok(submission)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_some_failures_one_a_second_waits() {
        let worth = Worth::after(3);
        for _ in 0..3 {
            assert!(worth.waiting());
            worth.report(false);
        }
        assert!(!worth.waiting());
        tokio::time::advance(LEFT_ALONE).await;
        assert!(worth.waiting());
        assert!(!worth.waiting(), "only one");
        worth.report(false);
        assert!(!worth.waiting());
        tokio::time::advance(LEFT_ALONE).await;
        assert!(worth.waiting());
        worth.report(true);
        assert!(worth.waiting() && worth.waiting());
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let worth = Worth::after(2);
        for answered in [false, true, false] {
            worth.report(answered);
        }
        assert!(worth.waiting());
    }
}
