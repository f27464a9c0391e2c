//! ALTER TABLE with a bounded wait for its lock, and what its errors mean.

use std::fmt;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::literal::quote_identifier;
use crate::Error;

/// A lock could not be had in time.
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Our statement was chosen to give way.
const DEADLOCK: u16 = 1213;
/// A value is in two partitions.
const SAME_VALUE: u16 = 1495;
/// Two partitions of one name.
const SAME_NAME: u16 = 1517;
/// A row's season has no partition.
pub(in crate::store) const NO_PARTITION: u16 = 1526;

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

/// The server's error code, if the server refused.
pub(in crate::store) fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(e) => Some(e.code),
        _ => None,
    }
}

/// Whether the table was in use.
pub(in crate::store) fn is_locked(error: &mysql_async::Error) -> bool {
    matches!(code(error), Some(LOCK_WAIT_TIMEOUT | DEADLOCK))
}

/// Whether a partition of that value or name is there already.
pub(super) fn is_taken(error: &mysql_async::Error) -> bool {
    matches!(code(error), Some(SAME_VALUE | SAME_NAME))
}

/// As the engine's error, a lock that could not be had as `Unavailable`.
pub(in crate::store) fn busy(error: mysql_async::Error) -> Error {
    if is_locked(&error) {
        Error::unavailable("The table is locked", Duration::from_secs(1)).with_source(error)
    } else {
        error.into()
    }
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
