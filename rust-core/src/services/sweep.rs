//! Applying journal rows that no job has brought in time: their job was lost, or there is
//! none because too many wait already, or no worker took it.

use std::time::Duration;

use super::apply::{self, NewQuestions};
use super::{Site, question_info, recovery, report, unjournaled};
use crate::Result;
use crate::servers::mariadb::MariaDb;
use crate::store::apply::Work;
use crate::store::journal;

/// Journal rows of one transaction.
const ROWS: u32 = 64;
/// Seconds that a row is left to its job, by those who sweep now and then.
const A_MOMENT_S: u32 = 5;
/// How long looking through the journal may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Applies overdue journal rows now, `max_rows` at most; how many were applied. Overdue is
/// what has waited for five seconds. Any number of processes may sweep at once: applying
/// a row twice changes nothing. What cannot be applied is in Frappe's Error Log and is
/// tried again later.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn sweep(site: &Site, worker: &str, max_rows: u32) -> Result<u64> {
    let applied = overdue(site, worker, A_MOMENT_S, max_rows).await?;
    // Where nothing runs but Frappe, nobody else looks.
    recovery::look_for_rows(site).await;
    Ok(applied)
}

/// After a job: one transaction of rows that no job has brought in. Whatever comes of
/// them, the job is done.
pub(super) async fn take_along(site: &Site, worker: &str) {
    if let Err(error) = overdue(site, worker, A_MOMENT_S, ROWS).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "No rows could be taken along"
        );
    }
}

/// As [`sweep`], for rows that have waited longer than `seconds`.
pub(super) async fn overdue(site: &Site, worker: &str, seconds: u32, max_rows: u32) -> Result<u64> {
    // First what has no row yet: left by processes that died.
    if let Err(error) = unjournaled::look(site).await {
        tracing::warn!(
            site = site.config.site,
            ?error,
            "Spool and queue could not be looked through"
        );
    }
    let (mut applied, mut left) = (0, max_rows);
    let mut new: Vec<NewQuestions> = Vec::new();
    while left > 0 {
        let page = left.min(ROWS);
        let keys = journal::overdue(&site.db, seconds, page);
        let keys = MariaDb::within(PATIENCE, keys).await?;
        let work: Vec<Work> = keys
            .into_iter()
            .map(|key| Work {
                key,
                job_id: None,
                submission: None,
            })
            .collect();
        let mut failed = false;
        let outcomes = apply::apply_and_tell(site, &work, worker, &mut new).await;
        for (outcome, work) in outcomes.iter().zip(&work) {
            match outcome {
                Ok(()) => applied += 1,
                Err(error) => {
                    failed = true;
                    report::not_applied(site, work.key.submission.as_str(), error).await;
                }
            }
        }
        // What failed waits for its next turn, except where even that could not be noted.
        if failed || (work.len() as u64) < u64::from(page) {
            break;
        }
        left -= page;
    }
    question_info::ask(site, new).await;
    Ok(applied)
}
