//! What follows when Frappe renames, merges or deletes a User, or somebody edits a row in
//! Desk.
//!
//! Frappe itself changes the tracker's `player` column (a Link field), in one transaction
//! with the User. What it does not know of is ours: schedules in Redis, journal, audit and
//! review log. They must follow exactly if that transaction commits, so:
//!
//! | when | what | where it runs |
//! |---|---|---|
//! | `before_rename` | [`check_rename`], after the hook has read the tracker | on a connection of ours |
//! | `before_rename`, with `merge` | the statements of [`merge_rows`] | in Frappe's transaction |
//! | after the commit of a rename or merge | [`rename`] | on a connection of ours |
//! | after the commit of a deletion | [`remove`] | on a connection of ours |
//! | after the commit of an edit or deletion of a row | [`invalidate`] | Redis only |
//!
//! "After the commit" is Frappe's `frappe.enqueue(..., enqueue_after_commit=True)`, in any
//! of its versions, or from 15 on also `frappe.db.after_commit.add`. Both are dropped by a
//! rollback, and [`rename`] and [`remove`] look for themselves: they refuse while the
//! table of Users still has the old name. Each may be called any number of times, by
//! several processes at once; what a call that failed has done stays done, and the next
//! goes on.
//!
//! Somebody logged in under the old name is believed for up to 60 s more. Call again a
//! few minutes later for what they sent in that time.

use std::time::Duration;

use serde::Serialize;

use super::{Site, archive};
pub use crate::store::players::Statement;
use crate::store::players::{self as store, Removal};
use crate::types::{Player, Season};
use crate::{Error, Result};

/// When to come back if a season is moving.
const COME_BACK: Duration = Duration::from_secs(60);

/// What [`rename`] moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Rows of the tracker that Frappe's own UPDATE did not see, because they were written
    /// while it ran.
    pub tracker_rows: u64,
    /// The same of the archive.
    pub archived_rows: u64,
    /// Rows of the journal; each left a tombstone.
    pub journal_rows: u64,
    /// Rows of the audit.
    pub audit_rows: u64,
    /// Rows of the review log.
    pub log_rows: u64,
    /// Schedules dropped from Redis, of both names.
    pub cache_keys: u64,
}

/// What [`remove`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Rows of the journal; each is a tombstone without answers now.
    pub journal_rows: u64,
    /// Schedules dropped from Redis.
    pub cache_keys: u64,
}

/// Whether a User may be renamed or merged now: not while a season's rows are on their way
/// into the archive or back. They are in a table then that Frappe knows nothing of, and
/// rows that change are not what was summed up before.
///
/// To be asked from the `before_rename` hook when it has read the tracker in *Frappe's*
/// transaction: no season's rows leave the tracker from then on until that ends.
///
/// # Errors
/// `Unavailable` if one is moving, naming it, or the database is away.
pub async fn check_rename(site: &Site) -> Result<()> {
    match archive::moving(site).await?.first() {
        None => Ok(()),
        Some(season) => {
            let message = format!(
                "Season {season} is on its way into the archive or back, and Users cannot be \
                 renamed until it is there"
            );
            Err(Error::unavailable(message, COME_BACK))
        }
    }
}

/// The statements that let Frappe merge the User `old` into `new`: where both have a row
/// of the same season and question, the newer state (rule C1) stays under `new` and the
/// other row goes, in tracker and archive. Without them the tables' UNIQUE (player,
/// season, question) refuses Frappe's own UPDATE.
///
/// To be run in order, in *Frappe's* transaction (`frappe.db.sql(sql, params)`; the
/// placeholders are `%s`), from the `before_rename` hook of User when `merge` is true. There
/// a rollback takes them back, and no row can come in between. A connection of our own
/// could give neither; and from MariaDB 11.6 on Frappe's UPDATE would fail over every row
/// that another transaction changed since Frappe's began.
///
/// They also note that `old` goes into `new`: a merge ends with the deletion of the old
/// User, whose hook cannot tell it from any other; [`remove`] reads the note.
pub fn merge_rows(old: &Player, new: &Player) -> Vec<Statement> {
    store::merge(old, new)
}

/// Moves what is ours from `old` to `new`, after Frappe's rename or merge was committed:
/// journal, audit, review log, and rows of the tracker that were written while Frappe's
/// UPDATE ran, also where they are archived by now; then drops the schedules of both from
/// Redis. While a season is moving, rows in the archive are left to a later call.
///
/// Journal rows leave a tombstone under the old name, so that a job of the old name finds
/// its submit applied. Where both have a submit of the same id, the one that moves gets
/// another id, always the same for the same submit.
///
/// # Errors
/// `Conflict` if the User `old` still exists: not committed yet, or rolled back; `NotFound`
/// if there is no User `new`; `Unavailable` if a server is away or a lock cannot be had
/// within seconds: call again.
pub async fn rename(site: &Site, old: &Player, new: &Player) -> Result<Moved> {
    let is_archive_still = archive::moving(site).await?.is_empty();
    let moved = store::rename(&site.db, old, new, is_archive_still).await?;
    // Last, so that a fill that read the old rows is overtaken.
    let cache_keys = drop_schedules(site, &[old, new]).await?;
    let moved = Moved {
        tracker_rows: moved.tracker_rows,
        archived_rows: moved.archived_rows,
        journal_rows: moved.journal_rows,
        audit_rows: moved.audit_rows,
        log_rows: moved.log_rows,
        cache_keys,
    };
    tracing::info!(site = site.config.site, ?moved, "A student was renamed");
    Ok(moved)
}

/// Removes what is ours of a deleted User, after the deletion was committed: schedules
/// from Redis, and the answers in the journal; its rows stay as tombstones for the time of
/// the journal's retention, so that a job still queued finds its submit applied. Audit,
/// review log and rows of the tracker stay. If the User was merged into another
/// ([`merge_rows`]), does what [`rename`] does.
///
/// # Errors
/// `Conflict` if the User still exists; `Unavailable` if a server is away or a lock cannot
/// be had within seconds: call again.
pub async fn remove(site: &Site, player: &Player) -> Result<Removed> {
    match store::remove(&site.db, player).await? {
        Removal::Merged(into) => {
            let moved = rename(site, player, &into).await?;
            Ok(Removed {
                journal_rows: moved.journal_rows,
                cache_keys: moved.cache_keys,
            })
        }
        Removal::Done(journal_rows) => {
            let removed = Removed {
                journal_rows,
                cache_keys: drop_schedules(site, &[player]).await?,
            };
            tracing::info!(site = site.config.site, ?removed, "A student was removed");
            Ok(removed)
        }
    }
}

/// Drops all schedules of these students, season by season: looking for keys would take
/// Redis seconds, and meet those of others.
async fn drop_schedules(site: &Site, players: &[&Player]) -> Result<u64> {
    let mut dropped = 0;
    let mut failed = None;
    for season in store::seasons(&site.db, players).await? {
        for player in players {
            match invalidate(site, player, &season).await {
                Ok(there) => dropped += u64::from(there),
                // The others are to be noted, too.
                Err(error) => failed = Some(error),
            }
        }
    }
    failed.map_or(Ok(dropped), Err)
}

/// Drops one student's schedule from Redis, after an edit or deletion of one of its rows
/// in Desk was committed; the next read comes from the table. True if there was one.
///
/// # Errors
/// `Unavailable` if Redis is away. The student is then noted as dirty, so that the schedule
/// is not believed and dropped when Redis is back: nobody need call again.
pub async fn invalidate(site: &Site, player: &Player, season: &Season) -> Result<bool> {
    let dropped = site.cache.invalidate(player, season).await;
    if dropped.is_err() {
        site.recovery.unconfirmed(&[(player, season)]).await;
    }
    dropped
}
