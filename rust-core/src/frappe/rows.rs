//! Running one statement and taking its columns.

use std::time::Duration;

use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Params, Row};
use tokio::time::timeout;

use crate::servers::mariadb::MariaDb;
use crate::{Error, Result};

/// How long a statement of a login may take: all of them are look-ups by key.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a query that gives one row.
pub(super) async fn one(db: &MariaDb, sql: &str, params: impl Into<Params> + Send) -> Result<Row> {
    first(db, sql, params)
        .await?
        .ok_or_else(|| Error::internal("The database gave no row"))
}

/// Runs a query for its first row.
pub(super) async fn first(
    db: &MariaDb,
    sql: &str,
    params: impl Into<Params> + Send,
) -> Result<Option<Row>> {
    let params = params.into();
    within(db, async |conn| conn.exec_first(sql, params).await).await
}

/// Runs a statement and says how many rows it changed.
pub(super) async fn change(
    db: &MariaDb,
    sql: &str,
    params: impl Into<Params> + Send,
) -> Result<u64> {
    let params = params.into();
    within(db, async |conn| {
        conn.exec_drop(sql, params).await?;
        Ok(conn.affected_rows())
    })
    .await
}

/// Gives the work a connection and a time limit; a connection that is still busy when
/// time is up is closed.
async fn within<T>(
    db: &MariaDb,
    work: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>,
) -> Result<T> {
    let mut conn = db.conn().await?;
    match timeout(STATEMENT_TIMEOUT, work(&mut conn)).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            MariaDb::discard(conn);
            Err(Error::unavailable(
                "The database is too slow",
                Duration::from_secs(1),
            ))
        }
    }
}

/// Takes a column out of a row.
pub(super) fn column<T: FromValue>(row: &mut Row, name: &str) -> Result<T> {
    match row.take_opt(name) {
        Some(Ok(value)) => Ok(value),
        // The conversion's own error shows the value, which may be a secret.
        Some(Err(_)) => Err(Error::internal(format!(
            "Column {name} has an unexpected type"
        ))),
        None => Err(Error::internal(format!("Column {name} is missing"))),
    }
}
