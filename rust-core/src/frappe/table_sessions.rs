//! Sessions that Redis forgot and the table knows, as all are after `bench clear-cache`.
//!
//! Frappe puts a session back into Redis when it extends it, at its next request. A
//! student who only meets this engine makes none for ten minutes, and reading the row
//! whenever the session is looked at would cost a statement every five seconds. So the
//! row is believed as long as the user's, a minute, provided that Redis vouches for it:
//! Frappe's logout deletes the row and then, in Redis, the session and its *stamp*, the
//! time of its last extension. A stamp that was there before the row was read and still
//! is, unchanged, says that there was no logout since.
//!
//! Where there is none it is set here, to a time long ago: with such a stamp Frappe does
//! what it does without one, so its next request still puts the session back. No session
//! is put back here, which might be one that is being logged out.
//!
//! | Frappe | deletes | a logout counts |
//! |---|---|---|
//! | 15 | the row, then the stamp | when the session is looked at next |
//! | 14 | the stamp, then the row | so, too; one that meets the reading of the row, with the next reading |
//! | 16 | no stamp | the row is read at each look instead: the logout's bound wins |
//!
//! The row is read at each look also while Redis is away, or refuses the stamp.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use quick_cache::sync::Cache;

use super::login::AuthContext;
use super::refresh::pickled_time;
use super::session::{Session, TIME_FORMAT};
use crate::Result;
use crate::config::FrappeVersion;
use crate::types::UtcMicros;

/// See the module's documentation. By session id.
pub(super) struct TableSessions {
    rows: Cache<String, Vouched>,
}

/// A row, with the stamp that was there before it was read.
#[derive(Clone)]
pub(super) struct Vouched {
    pub(super) session: Arc<Session>,
    read_at: UtcMicros,
    stamp: Vec<u8>,
}

/// The stamp of a session whose row is about to be read.
pub(super) struct Stamp {
    value: Vec<u8>,
    /// Not there before.
    ours: bool,
}

impl TableSessions {
    /// Remembers at most about `capacity` rows.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            rows: Cache::new(capacity),
        }
    }

    /// The row, if it was read no longer ago than `max_age`. It counts only while
    /// [`look`] finds [`Vouched::is_vouched_by`]'s stamp.
    pub(super) fn get(&self, sid: &str, now: UtcMicros, max_age: Duration) -> Option<Vouched> {
        let age = |row: &Vouched| Duration::from_micros(now.0.abs_diff(row.read_at.0));
        self.rows.get(sid).filter(|row| age(row) <= max_age)
    }

    /// Remembers a row that was read at `now`, after its stamp.
    pub(super) fn put(&self, sid: &str, now: UtcMicros, session: Arc<Session>, stamp: Stamp) {
        let row = Vouched {
            session,
            read_at: now,
            stamp: stamp.value,
        };
        self.rows.insert(sid.to_owned(), row);
    }
}

impl Vouched {
    /// Whether `stamp` says that there was no logout since the row was read.
    pub(super) fn is_vouched_by(&self, stamp: Option<&[u8]>) -> bool {
        stamp == Some(&self.stamp)
    }
}

/// Asks Redis for a session, and for its stamp as well if `with_stamp`: one round trip.
pub(super) async fn look(
    ctx: &AuthContext<'_>,
    sid: &str,
    with_stamp: bool,
) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    let mut pipe = redis::pipe();
    pipe.hget(sessions_key(ctx), sid);
    if !with_stamp {
        let (session,) = ctx.redis.pipeline(&pipe).await?;
        return Ok((session, None));
    }
    pipe.hget(stamps_key(ctx), sid);
    ctx.redis.pipeline(&pipe).await
}

/// The stamp of a session, made if there is none. `None` if Frappe has no stamps, or
/// Redis none for us.
pub(super) async fn stamp(ctx: &AuthContext<'_>, sid: &str, now: UtcMicros) -> Option<Stamp> {
    if ctx.config.frappe == FrappeVersion::V16 {
        return None;
    }
    let mut pipe = redis::pipe();
    pipe.hset_nx(stamps_key(ctx), sid, pickled_time(&long_ago(now)))
        .hget(stamps_key(ctx), sid);
    match ctx.redis.pipeline(&pipe).await {
        Ok((ours, Some(value))) => Some(Stamp { value, ours }),
        Ok((_, None)) => None,
        Err(error) => {
            tracing::debug!(?error, "a session's stamp could not be had");
            None
        }
    }
}

/// Takes a stamp away that was made for a session which does not exist: not every
/// made-up cookie shall leave something behind.
pub(super) async fn take_back(ctx: &AuthContext<'_>, sid: &str, stamp: Stamp) {
    if stamp.ours {
        let delete = redis::Cmd::hdel(stamps_key(ctx), sid);
        if let Err(error) = ctx.redis.query::<()>(&delete).await {
            tracing::debug!(?error, "a session's stamp could not be taken back");
        }
    }
}

/// A time that no session was extended at, and no two stamps share: one that another
/// process makes after a logout does not vouch for a row that was read before.
fn long_ago(now: UtcMicros) -> String {
    const YEAR_2000: i64 = 946_684_800_000_000;
    const DAY: i64 = 86_400_000_000;
    let micros = YEAR_2000 + now.0.rem_euclid(DAY);
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.format(TIME_FORMAT).to_string()
}

fn sessions_key(ctx: &AuthContext<'_>) -> String {
    format!("{}|session", ctx.config.db.name)
}

fn stamps_key(ctx: &AuthContext<'_>) -> String {
    format!("{}|last_db_session_update", ctx.config.db.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_stamp_is_long_ago_and_of_its_own() {
        let a = long_ago(UtcMicros(1_795_401_874_497_228));
        assert_eq!(a, "2000-01-01 02:44:34.497228");
        assert_ne!(a, long_ago(UtcMicros(1_795_401_874_497_229)));
        assert!(crate::frappe::session::parse_time(&a).is_some());
    }
}
