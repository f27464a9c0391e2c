//! Sliding expiry: extends a session that is in use, as Frappe 15 does every ten minutes.
//!
//! Frappe writes the time of the last extension to three places: the pickle in Redis, a
//! stamp beside it, and the table (with the user's `last_active`). A student who only
//! meets this engine would be logged out without it. The same places are written here,
//! with one rule more: **nothing but the time changes, and only in what was read.** Each
//! write compares first, so that a session which was logged out meanwhile does not come
//! back, and one that got a CSRF token meanwhile keeps it.
//!
//! The order is Frappe's: table first. It decides; if its row is gone, Redis stays as it
//! is.

use std::fmt;
use std::sync::LazyLock;

use chrono::NaiveDateTime;
use redis::Script;

use super::login::AuthContext;
use super::session::{TIME_FORMAT, read_pickle};
use super::{pyrepr, rows};
use crate::config::Secret;
use crate::pickle::Value;
use crate::types::Player;
use crate::{Result, failpoint};

static SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("refresh_session.lua")));

/// A session that is to be extended once its request was answered; see
/// [`super::Authenticator::refresh`].
#[derive(Clone)]
pub struct SessionRefresh {
    pub(super) sid: Secret,
    user: Player,
    /// The new time, site wall time.
    time: String,
    /// The pickle as it was read and as it is to be; `None` while Redis is away.
    pickles: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for SessionRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionRefresh({} at {})", self.user, self.time)
    }
}

/// What became of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Extended, or somebody else was quicker.
    Done,
    /// The table has no such session, or a text that we do not rewrite.
    Impossible,
}

impl SessionRefresh {
    /// Plans to extend the session `sid`, whose entry in Redis is `pickle`, to `wall`.
    /// `None` if that would change more than the time.
    pub(super) fn plan(
        sid: &str,
        user: &Player,
        pickle: Option<&[u8]>,
        wall: NaiveDateTime,
    ) -> Option<Self> {
        let time = wall.format(TIME_FORMAT).to_string();
        let pickles = match pickle {
            Some(old) => Some((old.to_vec(), retimed_pickle(old, &time)?)),
            None => None,
        };
        Some(Self {
            sid: Secret::new(sid),
            user: user.clone(),
            time,
            pickles,
        })
    }

    /// Writes it: one query, one update, one script.
    pub(super) async fn run(&self, ctx: &AuthContext<'_>) -> Result<Outcome> {
        let sid = self.sid.expose();
        let text = include_str!("sql/session_text.sql");
        let Some(mut row) = rows::first(ctx.db, text, (sid,)).await? else {
            return Ok(Outcome::Impossible);
        };
        let stored: Option<String> = rows::column(&mut row, "sid")?;
        let old: Option<String> = rows::column(&mut row, "sessiondata")?;
        let new = old.as_deref().and_then(|old| retimed_text(old, &self.time));
        let (true, Some(old), Some(new)) = (stored.as_deref() == Some(sid), old, new) else {
            return Ok(Outcome::Impossible);
        };
        failpoint::hit(&ctx.config.site, "session_row_read").await?;
        let changed = rows::change(
            ctx.db,
            include_str!("sql/refresh_session.sql"),
            (new, &self.time, &self.time, sid, old),
        )
        .await?;
        failpoint::hit(&ctx.config.site, "session_row_refreshed").await?;
        if let (1.., Some((old, new))) = (changed, &self.pickles) {
            let db = &ctx.config.db.name;
            let _: i64 = ctx
                .redis
                .script(
                    SCRIPT
                        .key(format!("{db}|session"))
                        .key(format!("{db}|last_db_session_update"))
                        .key(format!("{db}|document_cache::User::{}", self.user))
                        .arg(sid)
                        .arg(old)
                        .arg(new)
                        .arg(pickled_time(&self.time)),
                )
                .await?;
        }
        Ok(Outcome::Done)
    }
}

/// The pickle with another `last_updated`, if it can be had by overwriting 26 bytes.
fn retimed_pickle(old: &[u8], time: &str) -> Option<Vec<u8>> {
    let before = read_pickle(old).ok()?;
    let last = before.get("data")?.get("last_updated")?.as_str()?;
    if last.len() != time.len() {
        return None;
    }
    let at = only_place(old, last.as_bytes())?;
    let mut new = old.to_vec();
    new[at..at + time.len()].copy_from_slice(time.as_bytes());

    let mut expected = before;
    set_time(entry(&mut expected, "data")?, time)?;
    (read_pickle(&new).ok()? == expected).then_some(new)
}

/// The text of the table with another `last_updated`.
fn retimed_text(old: &str, time: &str) -> Option<String> {
    let before = pyrepr::read(old).ok()?;
    let last = format!(
        "'last_updated': '{}'",
        before.get("last_updated")?.as_str()?
    );
    let at = only_place(old.as_bytes(), last.as_bytes())?;
    let rest = &old[at + last.len()..];
    let new = format!("{}'last_updated': '{time}'{rest}", &old[..at]);

    let mut expected = before;
    set_time(&mut expected, time)?;
    (pyrepr::read(&new).ok()? == expected).then_some(new)
}

/// Where `part` stands in `whole`, if it does so exactly once.
fn only_place(whole: &[u8], part: &[u8]) -> Option<usize> {
    let mut places = whole
        .windows(part.len().max(1))
        .enumerate()
        .filter(|(_, window)| *window == part)
        .map(|(at, _)| at);
    match (places.next(), places.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

fn entry<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match value {
        Value::Dict(entries) => entries.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
        _ => None,
    }
}

fn set_time(data: &mut Value, time: &str) -> Option<()> {
    *entry(data, "last_updated")? = Value::Str(time.to_owned());
    Some(())
}

/// A string as Python pickles it (protocol 4): `PROTO`, `FRAME`, `SHORT_BINUNICODE`, `MEMOIZE`,
/// `STOP`.
pub(super) fn pickled_time(time: &str) -> Vec<u8> {
    // All times are 26 characters long (TIME_FORMAT), far from a byte's limit.
    let len = time.len() as u8;
    let mut pickle = vec![0x80, 4, 0x95, len + 4, 0, 0, 0, 0, 0, 0, 0, 0x8c, len];
    pickle.extend_from_slice(time.as_bytes());
    pickle.extend_from_slice(&[0x94, b'.']);
    pickle
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frappe::fixtures;

    const OLD: &str = "2026-11-23 02:42:28.235659";
    const NEW: &str = "2026-11-24 12:00:00.000001";

    fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = only_place(bytes, from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }

    #[test]
    fn a_retimed_pickle_differs_in_the_time_only() {
        let old = fixtures::session_of_student();
        let new = retimed_pickle(&old, NEW).unwrap();
        assert_eq!(new, replaced(&old, OLD.as_bytes(), NEW.as_bytes()));
        assert_eq!(retimed_pickle(&new, OLD).unwrap(), old);
    }

    #[test]
    fn a_pickle_where_that_would_change_more_is_left_alone() {
        let text = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes()].concat();
        let session = |other: &[u8]| {
            let entries = [
                text("last_updated"),
                text(OLD),
                b"q\x00".to_vec(),
                text("other"),
                other.to_vec(),
            ];
            let data = [b"}(".to_vec(), entries.concat(), b"u".to_vec()].concat();
            [b"}".to_vec(), text("data"), data, b"s.".to_vec()].concat()
        };
        assert!(retimed_pickle(&session(b"N"), NEW).is_some());
        // The same string object, and an equal one: which of the two is the time?
        assert_eq!(retimed_pickle(&session(b"h\x00"), NEW), None);
        assert_eq!(retimed_pickle(&session(&text(OLD)), NEW), None);
        assert_eq!(retimed_pickle(b"}.", NEW), None);
    }

    #[test]
    fn a_retimed_text_differs_in_the_time_only() {
        let tables = fixtures::auth_tables();
        let rows = tables["tabSessions"]["rows"].as_array().unwrap();
        for row in rows {
            let old = row["sessiondata"].as_str().unwrap();
            let new = retimed_text(old, NEW).unwrap();
            let time = row["lastupdate"].as_str().unwrap();
            assert_eq!(new, old.replacen(time, NEW, 1));
        }
    }

    #[test]
    fn a_text_that_only_looks_like_the_entry_is_no_entry() {
        let decoy =
            format!("{{'full_name': \"x 'last_updated': '{OLD}'\", 'last_updated': '{OLD}'}}");
        assert_eq!(retimed_text(&decoy, NEW), None);
        let nested = format!("{{'a': {{'last_updated': '{OLD}'}}}}");
        assert_eq!(retimed_text(&nested, NEW), None);
        assert_eq!(retimed_text("{\"last_updated\": \"x\"}", NEW), None);
        assert_eq!(retimed_text("no dict", NEW), None);
    }

    #[test]
    fn the_stamp_is_pickled_as_captured() {
        let captured =
            "8004951e000000000000008c1a323032362d31312d32332030333a30323a33392e303036383131942e";
        assert_eq!(
            hex::encode(pickled_time("2026-11-23 03:02:39.006811")),
            captured
        );
    }

    #[test]
    fn a_plan_shows_no_session_id() {
        let pickle = fixtures::session_of_student();
        let wall = crate::frappe::session::parse_time(NEW).unwrap();
        let plan =
            SessionRefresh::plan("hush", &Player::stored("ann"), Some(&pickle), wall).unwrap();
        assert_eq!(format!("{plan:?}"), format!("SessionRefresh(ann at {NEW})"));
    }
}
