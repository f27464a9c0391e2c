//! Servers that are there, and refuse: nothing is to be started, and trying again is no use.
//!
//! Whoever answers requests need not care, a server that refuses is as good as away. Whoever
//! is to mend it must: what is wrong is in the configuration.

use std::error::Error as StdError;

use redis::ErrorKind;

use crate::Error;

/// What is wrong with how we log in, if that is what the server refused.
pub fn login(error: &Error) -> Option<&'static str> {
    causes(error).find_map(|cause| {
        let of_mariadb = cause.downcast_ref().and_then(mariadb);
        of_mariadb.or_else(|| cause.downcast_ref().and_then(redis))
    })
}

/// What a Redis said that refused a command: `OOM`, `READONLY`, `NOPERM`.
pub fn code(error: &Error) -> Option<&str> {
    causes(error).find_map(|cause| cause.downcast_ref::<redis::RedisError>()?.code())
}

/// Whether a server is not there, rather than refusing.
pub fn is_away(error: &Error) -> bool {
    let is_busy = |code| matches!(code, "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN");
    error.kind() == crate::ErrorKind::Unavailable
        && login(error).is_none()
        && code(error).is_none_or(is_busy)
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: Option<&(dyn StdError + 'static)> = error.source();
    std::iter::successors(first, |cause| (*cause).source())
}

fn mariadb(error: &mysql_async::Error) -> Option<&'static str> {
    let mysql_async::Error::Server(error) = error else {
        return None;
    };
    match error.code {
        1045 | 1698 => {
            Some("MariaDB denies access: db_password is not the password of db_user (else db_name)")
        }
        1044 => Some("MariaDB denies this user access to the database that db_name names"),
        1049 => Some("MariaDB has no database that is called as db_name says"),
        1130 => Some("MariaDB lets nobody in from this host"),
        _ => None,
    }
}

fn redis(error: &redis::RedisError) -> Option<&'static str> {
    // While a connection is set up the driver gives the server's words without its code.
    let unknown = |detail: &str| detail.contains("Authentication required");
    match error.code() {
        _ if error.detail().is_some_and(unknown) => {
            Some("Redis wants a password, and the configuration gives none")
        }
        Some("NOAUTH") => Some("Redis wants a password, and the configuration gives none"),
        Some("WRONGPASS") => Some("Redis refuses the password, or the user"),
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            Some("Redis refuses the password, or the user")
        }
        _ => None,
    }
}
