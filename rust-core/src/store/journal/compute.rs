//! What raw answers led to, into their row.

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};

use crate::batch::{Batch, RAW_FORMAT, Submission};
use crate::servers::mariadb::MariaDb;
use crate::{Error, Result};

/// Replaces the raw answers of `row` by what they led to; whether this was the first to do
/// so. Afterwards the row's payload is one with states, whoever wrote it.
///
/// # Errors
/// `Unavailable` if the database is away: the row may be either.
pub async fn compute(db: &MariaDb, row: &Submission, batch: &Batch) -> Result<bool> {
    let payload = serde_json::to_vec(batch)
        .map_err(|e| Error::internal("A batch cannot be written").with_source(e))?;
    let mut conn = db.conn().await?;
    let params = vec![
        Value::Bytes(payload),
        Value::Bytes(row.key.player.as_str().as_bytes().to_vec()),
        Value::Bytes(row.key.submission.as_str().as_bytes().to_vec()),
        Value::Bytes(row.attempt.0.to_vec()),
        Value::from(RAW_FORMAT.to_string()),
    ];
    conn.exec_drop(include_str!("compute.sql"), Params::Positional(params))
        .await?;
    Ok(conn.affected_rows() > 0)
}
