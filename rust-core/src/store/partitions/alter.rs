//! ALTER TABLE with a bounded wait for its lock, and what its errors mean.

use std::fmt;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep};

use super::literal::quote_identifier;
use crate::store::refusals::{SAME_NAME, SAME_VALUE, code, is_locked};

/// Pause between two attempts at a table in use: short, because a busy table is free for
/// moments only.
const PAUSE: Duration = Duration::from_millis(25);

/// How an ALTER asks for its lock.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Lock {
    /// Fails at once if the table is in use.
    NoWait,
    /// Waits this many seconds; new queries wait behind it.
    Wait(u32),
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWait => f.write_str("NOWAIT"),
            Self::Wait(seconds) => write!(f, "WAIT {seconds}"),
        }
    }
}

/// Whether a partition of that value or name is there already.
pub(super) fn is_taken(error: &mysql_async::Error) -> bool {
    matches!(code(error), Some(SAME_VALUE | SAME_NAME))
}

/// Runs `ALTER TABLE <table> <lock> <body>`. Commits whatever the connection has open.
pub(in crate::store) async fn alter(
    conn: &mut Conn,
    table: &str,
    lock: Lock,
    body: &str,
) -> Result<(), mysql_async::Error> {
    conn.query_drop(format!(
        "ALTER TABLE {} {lock} {body}",
        quote_identifier(table)
    ))
    .await
}

/// An ALTER that never waits for the table's lock.
///
/// Not `ALTER TABLE … NOWAIT`: that does not wait within InnoDB either, where other DDL and
/// the server's own statistics are in the way for moments. Half-way through, that is: what
/// is then left of a conversion is a table without rows, of a dropped partition a file that
/// keeps another of its name from being made.
pub(in crate::store) fn alter_without_wait(table: &str, body: &str) -> String {
    format!(
        "SET STATEMENT lock_wait_timeout = 0 FOR ALTER TABLE {} {body}",
        quote_identifier(table)
    )
}

/// Drops a partition if it has no row; false if it has one. Under a lock, because a row that
/// came between looking and dropping would be gone; and nobody waits behind one that waits:
/// it is tried again and again, for `patience`. A table's last partition cannot be dropped.
pub(in crate::store) async fn drop_if_empty(
    conn: &mut Conn,
    table: &str,
    partition: &str,
    patience: Duration,
) -> Result<bool, mysql_async::Error> {
    let deadline = Instant::now() + patience;
    let lock = format!("LOCK TABLES {} WRITE NOWAIT", quote_identifier(table));
    loop {
        let tried = match conn.query_drop(&lock).await {
            Ok(()) => {
                let dropped = drop_locked(conn, table, partition).await;
                conn.query_drop("UNLOCK TABLES").await?;
                dropped
            }
            Err(error) => Err(error),
        };
        match tried {
            // Also where somebody looks at the table's definition just then.
            Err(error) if is_locked(&error) && Instant::now() < deadline => sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// Under the lock.
async fn drop_locked(
    conn: &mut Conn,
    table: &str,
    partition: &str,
) -> Result<bool, mysql_async::Error> {
    let (quoted, partition) = (quote_identifier(table), quote_identifier(partition));
    let look = format!("SELECT 1 FROM {quoted} PARTITION ({partition}) LIMIT 1");
    if conn.query_first::<u8, _>(look).await?.is_some() {
        return Ok(false);
    }
    let body = format!("DROP PARTITION {partition}");
    conn.query_drop(alter_without_wait(table, &body)).await?;
    Ok(true)
}
