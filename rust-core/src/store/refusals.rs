//! What MariaDB means when it refuses a statement, by the numbers that the engine tells apart.

use std::time::Duration;

use crate::Error;

/// A statement names a column that is not there.
pub(super) const UNKNOWN_COLUMN: u16 = 1054;
/// Two rows of one key.
pub(super) const DUPLICATE_KEY: u16 = 1062;
/// A NULL where none may be.
pub(super) const INVALID_NULL: u16 = 1138;
/// A lock could not be had in time; after NOWAIT, at once.
pub(super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// Our statement was chosen to give way.
pub(super) const DEADLOCK: u16 = 1213;
/// A value does not fit its column.
pub(super) const DATA_TRUNCATED: u16 = 1265;
/// A value is in two partitions.
pub(super) const SAME_VALUE: u16 = 1495;
/// Two partitions of one name.
pub(super) const SAME_NAME: u16 = 1517;
/// A row's season has no partition.
pub(super) const NO_PARTITION: u16 = 1526;
/// The storage engine knows nothing of a table that the server knows.
pub(super) const NOT_IN_ENGINE: u16 = 1932;

/// The server's number, if the server refused.
pub(super) fn code(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(e) => Some(e.code),
        _ => None,
    }
}

/// Whether rows or a table were in use: the same may work a moment later.
pub(crate) fn is_locked(error: &mysql_async::Error) -> bool {
    code(error).is_some_and(is_lock)
}

/// Whether a number says that rows or a table were in use.
pub(super) fn is_lock(code: u16) -> bool {
    matches!(code, LOCK_WAIT_TIMEOUT | DEADLOCK)
}

/// As the engine's error, a lock that could not be had as `Unavailable`.
pub(super) fn busy(error: mysql_async::Error) -> Error {
    if is_locked(&error) {
        Error::unavailable("The table is locked", Duration::from_secs(1)).with_source(error)
    } else {
        error.into()
    }
}
