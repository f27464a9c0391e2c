//! Which sweeper works on which row, and when a row that failed comes again.

use mysql_async::prelude::Queryable;
use mysql_async::{IsolationLevel, Params, Row, TxOpts, Value};

use super::key;
use crate::Result;
use crate::batch::SubmissionKey;
use crate::servers::mariadb::MariaDb;
use crate::store::rows;

/// Seconds for which a claim holds. Applying takes far less; one that takes longer meets
/// another sweeper, and the locks on the rows decide.
const CLAIM_S: u32 = 60;

/// A row that is the claimant's for a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub key: SubmissionKey,
    /// Nobody came by before, and its job may still come.
    pub young: bool,
}

/// Why a row could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// For an operator; cut at 2000 characters.
    pub error: &'a str,
    /// Whether the same may work later, with nobody doing anything about the row.
    pub passes: bool,
}

/// Claims up to `limit` rows that have waited longer than `seconds` for a worker and whose
/// time to be tried has come. A row that is younger than `youth` seconds is young.
/// Waits for nobody: what others hold is not claimed. Rows whose key is none are given up.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn claim(
    db: &MariaDb,
    claimant: &str,
    youth: u32,
    seconds: u32,
    limit: u32,
) -> Result<Vec<Claimed>> {
    let mut conn = db.conn().await?;
    let mut options = TxOpts::new();
    options.with_isolation_level(Some(IsolationLevel::ReadCommitted));
    let mut tx = conn.start_transaction(options).await?;
    let found: Vec<Row> = tx
        .exec(include_str!("claim.sql"), (youth, seconds, limit))
        .await?;
    if found.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let claimant: String = claimant.chars().take(140).collect();
    let mut params = vec![claimant.into(), CLAIM_S.into()];
    let (mut claimed, mut unreadable) = (Vec::new(), Vec::new());
    for mut row in found {
        let raw: [Vec<u8>; 2] = [rows::bytes(&row, 0)?, rows::bytes(&row, 1)?];
        params.extend(raw.iter().cloned().map(Value::Bytes));
        let young = rows::column(&mut row, 2)?;
        match key(&mut row) {
            Ok(key) => claimed.push(Claimed { key, young }),
            Err(_) => unreadable.push(raw),
        }
    }
    let sql = include_str!("claimed.sql")
        .replace("{keys}", &rows::key_marks(claimed.len() + unreadable.len()));
    tx.exec_drop(sql, Params::Positional(params)).await?;
    tx.commit().await?;
    for [player, submission] in unreadable {
        let error = "player or submission_id cannot be read";
        let params = (error, false, 0, player, submission);
        conn.exec_drop(include_str!("failed.sql"), params).await?;
    }
    Ok(claimed)
}

/// Records that these rows have a job, which has `seconds` to come.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn has_job(db: &MariaDb, keys: &[&SubmissionKey], seconds: u32) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut conn = db.conn().await?;
    let sql = include_str!("queued.sql").replace("{keys}", &rows::key_marks(keys.len()));
    let mut params = vec![Value::from(seconds)];
    params.extend(rows::key_params(keys.iter().copied()));
    Ok(conn.exec_drop(sql, Params::Positional(params)).await?)
}

/// Records that a row could not be applied: it waits longer each time, and after `tries`
/// times an error that does not pass is the end of it.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn failed(
    db: &MariaDb,
    key: &SubmissionKey,
    failure: Failure<'_>,
    tries: u32,
) -> Result<()> {
    let mut conn = db.conn().await?;
    let error: String = failure.error.chars().take(2000).collect();
    let params = (
        error,
        failure.passes,
        tries,
        key.player.as_str().as_bytes(),
        key.submission.as_str().as_bytes(),
    );
    Ok(conn.exec_drop(include_str!("failed.sql"), params).await?)
}
