//! Deleting what is past its retention, in bounded pieces.

use mysql_async::prelude::Queryable;
use mysql_async::{IsolationLevel, Params, TxOpts, Value};

use crate::Result;
use crate::servers::mariadb::MariaDb;

/// Rows of one transaction.
pub const ROWS: u64 = 1000;

/// What is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Applied journal rows.
    Journal,
    /// Audit rows.
    Audit,
    /// Rows of the review log.
    ReviewLog,
}

/// Takes the right to purge if nobody had it in the last `seconds`.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn claim(db: &MariaDb, claimant: &str, seconds: u32) -> Result<bool> {
    let note = serde_json::json!({"by": claimant}).to_string();
    let mut conn = db.conn().await?;
    conn.exec_drop(include_str!("claim.sql"), (note, seconds, seconds))
        .await?;
    Ok(conn.affected_rows() > 0)
}

/// Deletes up to [`ROWS`] of the oldest rows that are older than `days`; how many.
///
/// # Errors
/// `Unavailable` if the database is away; a server's error if somebody holds the rows.
pub async fn piece(db: &MariaDb, table: Table, days: u32) -> Result<u64> {
    let (sql, params) = match table {
        Table::Journal => (include_str!("journal.sql"), vec![days.into(), days.into()]),
        Table::Audit => (include_str!("audit.sql"), vec![days.into()]),
        Table::ReviewLog => (include_str!("review_log.sql"), vec![days.into()]),
    };
    let mut params: Vec<Value> = params;
    params.push(ROWS.into());
    let mut conn = db.conn().await?;
    let mut options = TxOpts::new();
    // No gap of an index is locked, into which new rows go.
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    tx.exec_drop(sql, Params::Positional(params)).await?;
    let deleted = tx.affected_rows();
    tx.commit().await?;
    Ok(deleted)
}
