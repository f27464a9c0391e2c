//! Asking `information_schema` about one table.
//!
//! A table that cannot be opened in `lock_wait_timeout`, because somebody is changing it, is
//! no error there: MariaDB leaves its rows out and says so in a warning. A table that looks
//! as if it had no partition, no column or no index is then one that was not looked at.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params};
use tokio::time::{Instant, sleep};

use super::refusals::{busy, is_lock};
use crate::{Error, Result};

/// How long a table that is being changed is asked about again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// The rows of such a query.
///
/// # Errors
/// `Unavailable` if the table is locked for ten seconds; or the query's own error.
pub(super) async fn rows<T: FromRow + Send + 'static>(
    conn: &mut Conn,
    query: &str,
    params: impl Into<Params>,
) -> Result<Vec<T>> {
    let (params, deadline) = (params.into(), Instant::now() + PATIENCE);
    loop {
        let rows: Vec<T> = conn.exec(query, params.clone()).await.map_err(busy)?;
        if conn.get_warnings() == 0 {
            return Ok(rows);
        }
        let warnings: Vec<(String, u16, String)> = conn.query("SHOW WARNINGS").await?;
        let is_locked = warnings.iter().any(|(_, code, _)| is_lock(*code));
        // Whatever else kept it from being looked at is over soon, or is said by the next
        // statement that needs the table.
        if !is_locked && (!rows.is_empty() || Instant::now() >= deadline) {
            return Ok(rows);
        }
        if Instant::now() >= deadline {
            let message = "The table is locked";
            return Err(Error::unavailable(message, Duration::from_secs(1)));
        }
        sleep(PAUSE).await;
    }
}
