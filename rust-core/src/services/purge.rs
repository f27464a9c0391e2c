//! Deleting what is past its retention: applied journal rows (`srs_journal_days`), audit
//! (`srs_audit_days`), review log (`srs_review_log_days`).
//!
//! Whoever sweeps also purges now and then; one process of a site at a time, by a claim in
//! the database. Between two pieces the database rests as long as the piece took.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Site;
use crate::servers::mariadb::MariaDb;
use crate::store::purge::{self as store, ROWS, Table};
use crate::{ErrorKind, Result};

/// A purge that was begun keeps all others away for so long, in seconds.
const CLAIM_S: u32 = 600;
/// How long one piece may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows that were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Of the journal.
    pub journal: u64,
    /// Of the audit.
    pub audit: u64,
    /// Of the review log.
    pub review_log: u64,
}

/// Deletes what is past its retention, for `budget` at most (longer than eight minutes
/// counts as eight); the rest is for the next time. Nothing if somebody did so in the last
/// ten minutes.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn purge(site: &Site, worker: &str, budget: Duration) -> Result<Purged> {
    let mut purged = Purged::default();
    let claim = store::claim(&site.db, worker, CLAIM_S);
    if !MariaDb::within(PATIENCE, claim).await? {
        return Ok(purged);
    }
    let end = Instant::now() + budget.min(Duration::from_secs(480));
    let srs = &site.config.srs;
    purged.journal = table(site, Table::Journal, srs.journal_days, end).await?;
    purged.audit = table(site, Table::Audit, srs.audit_days, end).await?;
    if srs.review_log_days > 0 {
        purged.review_log = table(site, Table::ReviewLog, srs.review_log_days, end).await?;
    }
    if purged != Purged::default() {
        tracing::info!(
            site = site.config.site,
            journal = purged.journal,
            audit = purged.audit,
            review_log = purged.review_log,
            "Deleted what is past its retention"
        );
    }
    Ok(purged)
}

async fn table(site: &Site, table: Table, days: u32, end: Instant) -> Result<u64> {
    let mut deleted = 0;
    while Instant::now() < end {
        let started = Instant::now();
        let piece = store::piece(&site.db, table, days);
        let piece = match MariaDb::within(PATIENCE, piece).await {
            // Somebody holds one of the rows; there is a next time.
            Err(error) if error.kind() == ErrorKind::Internal => {
                tracing::debug!(site = site.config.site, ?error, "A piece was not purged");
                break;
            }
            piece => piece?,
        };
        deleted += piece;
        if piece < ROWS {
            break;
        }
        sleep(started.elapsed()).await;
    }
    Ok(deleted)
}
