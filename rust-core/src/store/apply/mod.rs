//! Applying journal rows to the tracker, in one transaction (rule C9).
//!
//! The order: lock the journal rows in key order, let the caller show the states in the
//! cache, write the tracker in (season, player, question) order, then review log, audit,
//! and mark the rows applied. Whatever breaks on the way rolls all of it back, and doing
//! it again changes nothing.

pub(crate) mod write;

use std::collections::HashSet;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IsolationLevel, Params, Row, Transaction, TxOpts, Value};

use super::journal;
use super::rows;
use crate::Result;
use crate::batch::{Submission, SubmissionKey};
use crate::site_time::SiteZone;
use crate::types::UtcMicros;

/// One submit to apply: its key, the job that brought it, and what the job carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Which journal row.
    pub key: SubmissionKey,
    /// The RQ job; `None` when the row was found in the journal itself.
    pub job_id: Option<String>,
    /// What the job says, used only if the journal row is missing.
    pub submission: Option<Submission>,
}

/// What is the same for a whole transaction.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The site's time zone.
    pub zone: SiteZone,
    /// When it happens; `modified` of the rows.
    pub now: UtcMicros,
    /// Name of the worker, for the audit.
    pub worker: &'a str,
    /// Which try this is.
    pub tries: u32,
    /// Whether to write the review log.
    pub review_log: bool,
}

/// A transaction that holds the locks on some journal rows.
pub struct Applying<'c> {
    tx: Transaction<'c>,
    /// The rows that are not applied yet, in key order. Rows of `Work` that are missing
    /// here are applied already: their jobs are done.
    pub rows: Arc<Vec<Submission>>,
}

/// What is done about journal rows that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Wait: whoever has a job must know that it is done.
    Wait,
    /// Leave them to whoever holds them.
    Skip,
}

/// Locks the journal rows of `work`, making those that are missing.
///
/// # Errors
/// `Unavailable` or a server's error; nothing has changed.
pub async fn begin<'c>(
    conn: &'c mut Conn,
    work: &[&Work],
    held: Held,
) -> Result<Applying<'c>, mysql_async::Error> {
    let mut options = TxOpts::new();
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    let keys = work.iter().map(|w| &w.key).collect();
    let mut found = lock(&mut tx, keys, held).await?;
    // As a rule each submit has its row: what a job carries is sent only where it is needed.
    let there: HashSet<&SubmissionKey> = found.iter().map(|(key, _)| key).collect();
    let mut missing: Vec<&Submission> = work
        .iter()
        .filter_map(|w| w.submission.as_ref())
        .filter(|s| !there.contains(&s.key))
        .collect();
    if !missing.is_empty() {
        missing.sort_by(|a, b| a.key.cmp(&b.key));
        insert(&mut tx, &missing).await?;
        let keys = missing.iter().map(|s| &s.key).collect();
        let made = lock(&mut tx, keys, held).await?;
        found.extend(made);
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    let rows = found.into_iter().filter_map(|(_, row)| row).collect();
    Ok(Applying {
        tx,
        rows: Arc::new(rows),
    })
}

async fn insert(
    tx: &mut Transaction<'_>,
    missing: &[&Submission],
) -> Result<(), mysql_async::Error> {
    let mut rest = missing;
    for size in rows::pieces(missing.len()) {
        let (piece, others) = rest.split_at(size);
        rest = others;
        let sql = with_rows(include_str!("insert_missing.sql"), size, 6);
        let mut params = Vec::with_capacity(size * 6);
        for s in piece {
            params.extend(journal::insert_params(s).map_err(other)?);
        }
        tx.exec_drop(sql, Params::Positional(params)).await?;
    }
    Ok(())
}

/// Locks the rows that are there, in key order; those that are not applied yet with what
/// they say.
async fn lock(
    tx: &mut Transaction<'_>,
    keys: Vec<&SubmissionKey>,
    held: Held,
) -> Result<Vec<(SubmissionKey, Option<Submission>)>, mysql_async::Error> {
    let keys = rows::padded(keys);
    let mut sql = include_str!("lock.sql").replace("{keys}", &rows::key_marks(keys.len()));
    if held == Held::Skip {
        sql.push_str(" SKIP LOCKED");
    }
    let params = Params::Positional(rows::key_params(keys));
    let found: Vec<Row> = tx.exec(sql, params).await?;
    let read = |mut row: Row| match row.as_ref(5) {
        Some(Value::NULL) => Ok((journal::key(&mut row)?, None)),
        _ => journal::submission(&mut row).map(|s| (s.key.clone(), Some(s))),
    };
    let found: Result<Vec<_>> = found.into_iter().map(read).collect();
    found.map_err(other)
}

impl Applying<'_> {
    /// Writes the states of all locked rows to the tracker.
    ///
    /// # Errors
    /// A server's error: 1526 when a season has no partition
    /// ([`crate::store::partitions::is_missing`]). The transaction is then useless.
    pub async fn upsert(&mut self, context: &Context<'_>) -> Result<(), mysql_async::Error> {
        write::upsert(&mut self.tx, &self.rows, context).await
    }

    /// Writes review log and audit, marks the rows applied, and commits. `cached` says of
    /// each row whether the cache is known to have it.
    ///
    /// # Errors
    /// A server's error; whether the commit took place is then unknown.
    pub async fn finish(
        mut self,
        context: &Context<'_>,
        work: &[&Work],
        cached: &[bool],
    ) -> Result<(), mysql_async::Error> {
        if context.review_log {
            write::review_log(&mut self.tx, &self.rows).await?;
        }
        write::audit(&mut self.tx, &self.rows, work, context).await?;
        for known in [true, false] {
            let keys: Vec<&SubmissionKey> = self
                .rows
                .iter()
                .zip(cached)
                .filter(|(_, c)| **c == known)
                .map(|(row, _)| &row.key)
                .collect();
            if keys.is_empty() {
                continue;
            }
            let keys = rows::padded(keys);
            let sql = include_str!("done.sql").replace("{keys}", &rows::key_marks(keys.len()));
            let mut params = vec![Value::from(known)];
            params.extend(rows::key_params(keys));
            self.tx.exec_drop(sql, Params::Positional(params)).await?;
        }
        self.tx.commit().await
    }

    /// Gives the locks back and leaves the rows that were made; nothing else has changed.
    ///
    /// # Errors
    /// A server's error; whether the commit took place is then unknown.
    pub async fn keep(self) -> Result<Arc<Vec<Submission>>, mysql_async::Error> {
        let Self { tx, rows } = self;
        tx.commit().await?;
        Ok(rows)
    }

    /// Gives the locks back; nothing has changed.
    ///
    /// # Errors
    /// A server's error; the server then rolls back by itself.
    pub async fn roll_back(self) -> Result<(), mysql_async::Error> {
        self.tx.rollback().await
    }
}

/// Puts `rows` times `(?, …)` in place of `{rows}`.
fn with_rows(sql: &str, rows: usize, columns: usize) -> String {
    let one = format!("({})", rows::marks(columns));
    sql.replace("{rows}", &vec![one; rows].join(", "))
}

/// An error of ours on the way of a server's errors.
fn other(e: crate::Error) -> mysql_async::Error {
    mysql_async::Error::Other(Box::new(e))
}
