//! Applying journal rows that no job has brought in time (rule C11): their job was lost,
//! or there is none because too many wait already, or no worker took it.
//!
//! Any number of processes sweep at once: a row is one sweeper's for a minute
//! ([`journal::claim`]), and nobody waits for a row that somebody holds. A row that is
//! found for the first time while its job may still come gets half a minute for it, and
//! a new job if its own was lost; found again, or older, it is applied here. A row that
//! cannot be applied comes again later and later, and holds up no other.

use std::time::Duration;

use futures_util::future::join_all;

use super::apply::{self, Done};
use super::{Site, question_info, recovery, report, safe_mode, unjournaled};
use crate::batch::SubmissionKey;
use crate::queue::Requeued;
use crate::servers::mariadb::MariaDb;
use crate::store::apply::{Held, Work};
use crate::store::journal::{self, Claimed};
use crate::types::UtcMicros;
use crate::{ErrorKind, Result, failpoint};

/// Journal rows of one transaction.
const ROWS: u32 = 64;
/// Seconds that a row is left to its job, by those who sweep now and then.
const A_MOMENT_S: u32 = 5;
/// Seconds that a row is left to its job, by those who sweep all the time.
const JOB_OVERDUE_S: u32 = 30;
/// Up to this age, in seconds, a row may get another job instead of being applied.
const YOUTH_S: u32 = 60;
/// Seconds that a job has to come once it is known that there is one.
const JOB_COMES_S: u32 = 30;
/// Seconds more that who is cut off from both Redis leaves a row to others, which can show
/// what they apply.
const CUT_OFF_S: u32 = 60;
/// How long looking through the journal may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Applies overdue journal rows now, `max_rows` at most; how many were applied. Overdue is
/// what has waited for five seconds. Any number of processes may sweep at once. What
/// cannot be applied is in Frappe's Error Log and is tried again later.
///
/// For whoever sweeps now and then: no row is left for a next time.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn sweep(site: &Site, worker: &str, max_rows: u32) -> Result<u64> {
    let applied = run(site, worker, A_MOMENT_S, 0, max_rows).await?;
    // Where nothing runs but Frappe, nobody else looks.
    recovery::look_for_rows(site).await;
    Ok(applied)
}

/// What [`sweep`] would apply now, `max_rows` at most, oldest first. Only looks.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn overdue(site: &Site, max_rows: u32) -> Result<Vec<SubmissionKey>> {
    let overdue = journal::overdue(&site.db, A_MOMENT_S, max_rows);
    MariaDb::within(PATIENCE, overdue).await
}

/// Sweeps as those do who come by every few seconds: rows whose job is 30 seconds late get
/// another job if theirs was lost, and are applied half a minute later.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn patrol(site: &Site, worker: &str) -> Result<u64> {
    run(site, worker, JOB_OVERDUE_S, YOUTH_S, u32::MAX).await
}

/// After a job: one transaction of rows that no job has brought in. Whatever comes of
/// them, the job is done.
pub(super) async fn take_along(site: &Site, worker: &str) {
    if let Err(error) = run(site, worker, A_MOMENT_S, 0, ROWS).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "No rows could be taken along"
        );
    }
}

async fn run(site: &Site, worker: &str, seconds: u32, youth: u32, max_rows: u32) -> Result<u64> {
    // First what has no row yet: left by processes that died.
    if let Err(error) = unjournaled::look(site).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "Spool and queue could not be looked through"
        );
    }
    let others = if site.recovery.is_cut_off().await {
        CUT_OFF_S
    } else {
        0
    };
    let seconds = seconds + others;
    let (mut done, mut left) = (Done::default(), max_rows);
    while left > 0 {
        let page = left.min(ROWS);
        let claim = journal::claim(&site.db, worker, youth, seconds, page);
        let claimed = MariaDb::within(PATIENCE, claim).await?;
        failpoint::hit(&site.config.site, "rows_claimed").await?;
        let count = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
        let (young, due): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|row| row.young);
        let mut due: Vec<Claimed> = due;
        due.extend(without_job(site, young).await?);
        apply_claimed(site, due, worker, &mut done).await?;
        if count < page {
            break;
        }
        left -= page;
    }
    question_info::ask(site, done.new).await;
    safe_mode::deliver(site).await;
    // The database is there. Without the queue's Redis there is nothing to tell.
    if let Err(error) = report::tell(site).await {
        tracing::debug!(site = site.config.site, ?error, "Nothing was told");
    }
    Ok(done.rows)
}

/// Sees to it that these rows have a job: theirs that still waits, or a new one. Those that
/// get none are given back, to be applied now.
async fn without_job(site: &Site, young: Vec<Claimed>) -> Result<Vec<Claimed>> {
    let asked = young.iter().map(|row| async {
        let Some(submission) = journal::find(&site.db, &row.key).await? else {
            return Ok(false);
        };
        let requeued = site.producer.requeue(&submission, UtcMicros::now()).await?;
        Ok::<_, crate::Error>(requeued != Requeued::HeldBack)
    });
    let outcomes = join_all(asked).await;
    let (mut queued, mut others) = (Vec::new(), Vec::new());
    for (row, outcome) in young.iter().zip(outcomes) {
        // With the queue away there is no job to wait for.
        match outcome {
            Ok(true) => queued.push(&row.key),
            Ok(false) | Err(_) => others.push(row.clone()),
        }
    }
    journal::has_job(&site.db, &queued, JOB_COMES_S).await?;
    Ok(others)
}

async fn apply_claimed(
    site: &Site,
    rows: Vec<Claimed>,
    worker: &str,
    done: &mut Done,
) -> Result<()> {
    let work: Vec<Work> = rows
        .into_iter()
        .map(|row| Work {
            key: row.key,
            job_id: None,
            submission: None,
        })
        .collect();
    let outcomes = apply::apply_and_tell(site, &work, worker, Held::Skip, done).await;
    for (outcome, work) in outcomes.iter().zip(&work) {
        match outcome {
            Ok(()) => {}
            // Nothing is wrong with the row, whose claim will end.
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error.clone()),
            Err(error) => report::not_applied(site, work.key.submission.as_str(), error).await,
        }
    }
    Ok(())
}
