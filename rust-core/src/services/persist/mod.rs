//! `persist_review_batch`: applies one batch of answers, the RQ job behind every submit,
//! for whoever runs it: the native worker, Python's workers, or code that calls it.
//!
//! A batch comes in one of three shapes:
//!
//! - *Complete*, as a submit of ours queues it: states with versions, under the id of the
//!   submission. It is a pointer to its journal row.
//! - With *ready* states (`new_stability`, `new_next_review_date`), as the implementation
//!   before this one queued it: that state, in the order of its time.
//! - *Raw* answers (`question_id`, `quality`): what they lead to is computed here.
//!
//! The last two name no submission as a rule. Theirs is then the job's id, so that a job
//! that is delivered twice is one submission, and their time is when the job was queued.
//! What they lead to is computed once and put into the journal, whose row is what counts
//! from then on (rule C11): a second delivery finds it.

mod items;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use crate::queue::JobOptions;

use self::items::Given;
use super::answers::Answers;
use super::apply::{self, Done};
use super::prior::{self, Asked};
use super::{Site, handoff, report, sweep, who};
use crate::batch::{Attempt, Batch, Door, Submission, SubmissionKey};
use crate::queue::PersistCall;
use crate::servers::mariadb::MariaDb;
use crate::store::apply::{Held, Work};
use crate::store::journal::{self, Inserted};
use crate::types::{SubmissionId, UtcMicros};
use crate::{Error, ErrorKind, Result};

/// How long looking for the journal row may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long writing it may take: nobody waits for an answer.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persisted {
    /// Answers of the batch, all of them applied, now or before.
    pub processed_count: u64,
}

/// Applies a batch of `user`'s answers, once, however often it is called. `worker` names
/// the caller in the audit. `responses` is a list, or its JSON text.
///
/// Run as a job, it takes along rows of the journal that no job has brought in time: on
/// `default` only so many of our jobs may wait, and this is how the others get applied.
///
/// # Errors
/// `InvalidInput` naming index and field of a bad answer, and nothing has changed;
/// `NotFound` for an unknown user or season; `Conflict` for a used submission id with
/// other answers; `Unavailable` after the last try if a server is away.
pub async fn persist_review_batch(
    site: &Arc<Site>,
    responses: Value,
    user: &str,
    season: &str,
    options: JobOptions,
    worker: &str,
) -> Result<Persisted> {
    let responses = items::list(responses)?;
    let call = PersistCall::new(&site.config.site, user, season, responses, options)?;
    // Whoever runs this in Python asks the apps about the new questions itself.
    let persisted = match run(site, &call, worker, &mut Done::default()).await {
        Ok(persisted) => persisted,
        Err(error) => {
            // The caller's own Error Log entry goes nowhere with the database away, and no
            // journal row says that these answers are missing.
            if let Some(job) = &call.job_id
                && error.kind() == ErrorKind::Unavailable
                && !call.is_complete()
            {
                report::keep(site, job, &format!("{job}\n{error:?}")).await;
            }
            return Err(error);
        }
    };
    if call.job_id.is_some() || call.is_complete() {
        sweep::take_along(site, worker).await;
    }
    Ok(persisted)
}

/// Applies what a call carries; adds to what is `done`.
///
/// # Errors
/// As [`persist_review_batch`].
pub(super) async fn run(
    site: &Site,
    call: &PersistCall,
    worker: &str,
    done: &mut Done,
) -> Result<Persisted> {
    refuse_stale(site, call).await?;
    let submission = if call.is_complete() {
        call.submission()?
    } else {
        // One id for all tries: the first may have come through unseen.
        let id = call.submission_id();
        apply::patiently(site, || journaled(site, call, &id)).await?
    };
    let processed_count = submission.batch.items.len() as u64;
    let work = Work {
        key: submission.key.clone(),
        job_id: call.job_id.clone(),
        submission: Some(submission),
    };
    let mut outcomes = apply::apply_and_tell(site, &[work], worker, Held::Wait, done).await;
    outcomes.remove(0).map(|()| Persisted { processed_count })
}

/// Refuses a job that comes so late that the journal may have forgotten its submit, and
/// with it whether it was applied. A row that is there knows.
pub(super) async fn refuse_stale(site: &Site, call: &PersistCall) -> Result<()> {
    let days = i64::from(site.config.srs.journal_days - 1);
    let taken = call.at.map(UtcMicros).or(call.enqueued_at);
    let oldest = UtcMicros::now().plus_seconds(-days * 86_400);
    if call.job_id.is_none() || taken.is_none_or(|taken| taken >= oldest) {
        return Ok(());
    }
    let key = SubmissionKey {
        player: call.user.clone(),
        submission: call.submission_id(),
    };
    let found = MariaDb::within(PATIENCE, journal::find(&site.db, &key)).await?;
    if found.is_some() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The job is older than {days} days and the journal does not know its submission \
         {}: it may have been applied already, so it is not applied by itself",
        key.submission
    )))
}

/// The submission as the journal has it: from an earlier delivery, else computed now.
async fn journaled(site: &Site, call: &PersistCall, id: &SubmissionId) -> Result<Submission> {
    let now = UtcMicros::now();
    let given = items::parse(&call.responses)?;
    let (player, season) = who::stored(site, call.user.as_str(), call.season.as_str(), now).await?;
    let key = SubmissionKey {
        player,
        submission: id.clone(),
    };
    let mut submission = Submission {
        key,
        season: season.name.clone(),
        attempt: call.attempt.map_or_else(Attempt::random, Ok)?,
        fingerprint: call
            .fingerprint
            .unwrap_or_else(|| items::fingerprint(&given)),
        batch: Batch::new(call.door.unwrap_or(Door::Python), now.0, Vec::new()),
    };
    let found = MariaDb::within(PATIENCE, journal::find(&site.db, &submission.key));
    if found.await?.is_some() {
        return handoff::winner(site, &submission).await;
    }
    let zone = site.zone(now).await?;
    let ids: Vec<&str> = given.iter().map(Given::question_id).collect();
    let asked = Asked {
        player: &submission.key.player,
        season: &season,
        zone,
        answered: &ids,
    };
    let prior = prior::find(site, asked).await?;
    // A time that is still to come would keep all that comes before it from counting.
    let taken = call.at.map(UtcMicros).or(call.enqueued_at);
    let at = taken.map_or(now, |at| at.min(now));
    let mut answers = Answers::new(&site.config.srs, &prior, zone, at);
    for given in items::with_known_names(site, given).await? {
        match given {
            Given::Raw(response) => answers.answer(&response),
            Given::Ready(ready) => answers.set(&ready, taken.is_none()),
        }
    }
    submission.batch.at = at.0;
    submission.batch.items = answers.into_items();
    match handoff::write_journal(site, &submission, JOURNAL_PATIENCE).await? {
        Inserted::Yes => Ok(submission),
        Inserted::Taken => handoff::winner(site, &submission).await,
    }
}
