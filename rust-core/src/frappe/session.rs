//! One session, as Redis or the table keeps it, and what its age and token decide.
//!
//! Redis holds a pickle `{data: {...}, user, sid}`, the table a text of the inner `data`.
//! Times in both are the site's wall time without a zone, and differences are taken
//! between wall times, as Frappe takes them.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike};
use mysql_async::Row;
use subtle::ConstantTimeEq;

use super::stop::{Step, Stop};
use super::{pyrepr, rows, settings};
use crate::config::{FrappeVersion, Secret};
use crate::pickle::{self, Limits, Unreadable, Value};
use crate::types::UtcMicros;

/// How Frappe writes times into a session: always 26 characters.
pub(super) const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// Frappe extends a session that was extended longer ago than this.
const REFRESH_AFTER: TimeDelta = TimeDelta::seconds(600);

/// Many times what a session takes: some 300 bytes, two levels.
const LIMITS: Limits = Limits {
    input: 64 * 1024,
    values: 10_000,
    text: 1024 * 1024,
    depth: 32,
};

/// Where a session was read.
pub(super) enum Source {
    /// Redis, with the pickle.
    Redis(Vec<u8>),
    /// The table, at this moment, because Redis answered that it has no such session.
    Table(UtcMicros),
    /// The table, because Redis did not answer.
    TableAlone,
}

/// See the module's documentation.
pub(super) struct Session {
    /// The user's name.
    pub(super) user: String,
    /// When it was last extended, site wall time.
    pub(super) last_updated: NaiveDateTime,
    /// Where it was read.
    pub(super) source: Source,
    csrf_token: Option<Secret>,
    /// Frappe 14: a login of the mobile app.
    mobile: bool,
    /// Seconds it lives without use; `None`: what the site says.
    expiry_s: Option<i64>,
    /// Frappe 16: when it ends in any case.
    end: Option<UtcMicros>,
    refresh_claimed: AtomicBool,
}

/// Whether a session counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Used lately.
    Fresh,
    /// Good, and due to be extended.
    DueForRefresh,
    /// Too old.
    Expired,
}

impl Session {
    /// Reads an entry of the session hash.
    ///
    /// # Errors
    /// Declines what is no such pickle: it may be somebody's session, so never a guest's.
    pub(super) fn from_redis(bytes: Vec<u8>) -> Step<Self> {
        const UNREADABLE: Stop = Stop::Decline("session-pickle");
        let entry = read_pickle(&bytes).map_err(|_| UNREADABLE)?;
        let data = entry.get("data").ok_or(UNREADABLE)?;
        let user = match data.get("user") {
            Some(Value::Str(user)) if !user.is_empty() => user.clone(),
            _ => return Err(UNREADABLE),
        };
        let last_updated = match data.get("last_updated") {
            Some(Value::Str(text)) => parse_time(text).ok_or(UNREADABLE)?,
            Some(Value::DateTime(time)) => *time,
            _ => return Err(UNREADABLE),
        };
        let expiry_s = match data.get("session_expiry") {
            Some(Value::Str(text)) if !text.is_empty() => {
                Some(settings::expiry_s(text).ok_or(UNREADABLE)?)
            }
            None | Some(Value::None | Value::Str(_)) => None,
            _ => return Err(UNREADABLE),
        };
        let (csrf_token, mobile, end) = common(data).ok_or(UNREADABLE)?;
        Ok(Self {
            user,
            last_updated,
            source: Source::Redis(bytes),
            csrf_token,
            mobile,
            expiry_s,
            end,
            refresh_claimed: AtomicBool::new(false),
        })
    }

    /// Takes the columns `session_user`, `sessiondata` and `lastupdate`.
    ///
    /// # Errors
    /// Declines a row that it cannot read.
    pub(super) fn from_row(row: &mut Row, frappe: FrappeVersion, source: Source) -> Step<Self> {
        const UNREADABLE: Stop = Stop::Decline("session-text");
        let user: Option<String> = rows::column(row, "session_user")?;
        let text: Option<String> = rows::column(row, "sessiondata")?;
        let last_updated: Option<NaiveDateTime> = rows::column(row, "lastupdate")?;
        let text = text.ok_or(UNREADABLE)?;
        let data = match frappe {
            FrappeVersion::V14 | FrappeVersion::V15 => pyrepr::read(&text),
            FrappeVersion::V16 => pyrepr::read_json(&text),
        };
        let data = data.map_err(|_| UNREADABLE)?;
        let (csrf_token, mobile, end) = common(&data).ok_or(UNREADABLE)?;
        if mobile && frappe == FrappeVersion::V14 {
            // It has an expiry of its own, which only Frappe 14 knows.
            return Err(Stop::Decline("session-mobile"));
        }
        Ok(Self {
            user: user.filter(|u| !u.is_empty()).ok_or(UNREADABLE)?,
            last_updated: last_updated.ok_or(UNREADABLE)?,
            source,
            csrf_token,
            mobile,
            // In the table the site's rule counts, not the session's own.
            expiry_s: None,
            end,
            refresh_claimed: AtomicBool::new(false),
        })
    }

    /// How old the session is at `wall`, which is `now` in the site's zone; `site_expiry_s`
    /// is the site's rule.
    pub(super) fn age(&self, now: UtcMicros, wall: NaiveDateTime, site_expiry_s: i64) -> Age {
        let idle = wall - self.last_updated;
        let expiry = TimeDelta::try_seconds(self.expiry_s.unwrap_or(site_expiry_s));
        // Frappe asks Redis for "not older than", the table for "younger than".
        let expired = match self.source {
            Source::Redis(_) => expiry.is_none_or(|expiry| idle > expiry),
            Source::Table(_) | Source::TableAlone => expiry.is_none_or(|expiry| idle >= expiry),
        };
        if expired || self.end.is_some_and(|end| end <= now) {
            Age::Expired
        } else if idle > REFRESH_AFTER {
            Age::DueForRefresh
        } else {
            Age::Fresh
        }
    }

    /// Whether the session is one of Frappe 14's mobile app.
    pub(super) fn is_mobile(&self) -> bool {
        self.mobile
    }

    /// The token that Desk gave it, if one did.
    pub(super) fn csrf_token(&self) -> Option<&Secret> {
        self.csrf_token.as_ref()
    }

    /// Whether a page gave the session a CSRF token.
    pub(super) fn has_csrf_token(&self) -> bool {
        self.csrf_token.is_some()
    }

    /// Whether `given` is the session's CSRF token, in constant time.
    pub(super) fn csrf_token_is(&self, given: Option<&str>) -> bool {
        match (&self.csrf_token, given) {
            (Some(token), Some(given)) => token.expose().as_bytes().ct_eq(given.as_bytes()).into(),
            _ => false,
        }
    }

    /// True for the first who asks: one of many requests extends the session.
    pub(super) fn claim_refresh(&self) -> bool {
        !self.refresh_claimed.swap(true, Ordering::Relaxed)
    }
}

/// What Redis and table have in common: CSRF token, whether it is mobile, hard end.
fn common(data: &Value) -> Option<(Option<Secret>, bool, Option<UtcMicros>)> {
    let csrf_token = match data.get("csrf_token") {
        Some(Value::Str(token)) if !token.is_empty() => Some(Secret::new(token)),
        Some(other) if other.is_truthy() => return None,
        _ => None,
    };
    let mobile = data.get("device").and_then(Value::as_str) == Some("mobile");
    let end = match data.get("session_end") {
        Some(Value::Str(text)) if !text.is_empty() => {
            let end = DateTime::parse_from_rfc3339(text).ok()?;
            Some(UtcMicros(end.timestamp_micros()))
        }
        Some(other) if other.is_truthy() => return None,
        _ => None,
    };
    Some((csrf_token, mobile, end))
}

/// Reads an entry of the session hash as plain data.
pub(super) fn read_pickle(bytes: &[u8]) -> Result<Value, Unreadable> {
    pickle::read(bytes, LIMITS)
}

/// Reads a time of exactly the form that Frappe writes.
pub(super) fn parse_time(text: &str) -> Option<NaiveDateTime> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    // chrono knows leap seconds, Python does not.
    let leap = time.nanosecond() >= 1_000_000_000;
    (!leap && time.format(TIME_FORMAT).to_string() == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frappe::fixtures;

    const NOW: UtcMicros = UtcMicros(0);

    fn read(bytes: Vec<u8>) -> Session {
        Session::from_redis(bytes).unwrap_or_else(|stop| panic!("{stop:?}"))
    }

    fn student() -> Session {
        read(fixtures::session_of_student())
    }

    fn age_after(session: &Session, idle: TimeDelta) -> Age {
        session.age(NOW, session.last_updated + idle, 60)
    }

    #[test]
    fn a_captured_session_has_user_times_and_no_token() {
        let session = student();
        assert_eq!(session.user, "stu000@lab.test");
        let time = session.last_updated.format(TIME_FORMAT).to_string();
        assert_eq!(time, "2026-11-23 02:42:28.235659");
        assert!(!session.has_csrf_token());
        assert!(!session.csrf_token_is(None));
        assert!(!session.csrf_token_is(Some("")));
    }

    #[test]
    fn a_session_of_frappe_16_has_a_datetime_and_a_hard_end() {
        #[rustfmt::skip]
        let pickle = b"\x80\x05\x95\xd9\x00\x00\x00\x00\x00\x00\x00\x8c\x17frappe.types.frappedict\x94\x8c\x05_dict\x94\x93\x94)\x81\x94\x8c\x04data\x94h\x02)\x81\x94(\x8c\x04user\x94\x8c\x03ann\x94\x8c\x0clast_updated\x94\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\n\x07\xea\x0b\x17\x02+\x15\x0c\x0b{\x94\x85\x94R\x94\x8c\x0esession_expiry\x94\x8c\x0801:00:00\x94\x8c\ncsrf_token\x94\x8c\x01t\x94\x8c\x0bsession_end\x94\x8c\x192026-11-23T03:00:00+00:00\x94uh\x05bsh\x03b.";
        let session = read(pickle.to_vec());
        assert_eq!(session.user, "ann");
        let time = session.last_updated.format(TIME_FORMAT).to_string();
        assert_eq!(time, "2026-11-23 02:43:21.789371");
        assert!(session.csrf_token_is(Some("t")));
        // 2026-11-23 03:00 UTC.
        assert_eq!(session.end, Some(UtcMicros(1_795_402_800_000_000)));
    }

    #[test]
    fn the_token_is_compared_whole() {
        let session = read(fixtures::session_of_admin_with_csrf());
        let token = "af6fd561e33f2e4e606307e19a323b030791c16092f42b8667421ff7";
        assert!(session.has_csrf_token());
        assert!(session.csrf_token_is(Some(token)));
        assert!(!session.csrf_token_is(Some(&token[1..])));
        assert!(!session.csrf_token_is(Some(&format!("{token}0"))));
        assert!(!session.csrf_token_is(Some("")));
        for at in 0..token.len() {
            let mut wrong = token.to_owned();
            wrong.replace_range(at..=at, "x");
            assert!(!session.csrf_token_is(Some(&wrong)), "at {at}");
        }
        assert!(!session.csrf_token_is(None));
    }

    #[test]
    fn its_own_expiry_counts_to_the_microsecond() {
        let session = student();
        let expiry = TimeDelta::hours(170);
        let micro = TimeDelta::microseconds(1);
        assert_eq!(age_after(&session, TimeDelta::zero()), Age::Fresh);
        assert_eq!(age_after(&session, TimeDelta::seconds(-60)), Age::Fresh);
        assert_eq!(age_after(&session, REFRESH_AFTER), Age::Fresh);
        assert_eq!(
            age_after(&session, REFRESH_AFTER + micro),
            Age::DueForRefresh
        );
        assert_eq!(age_after(&session, expiry), Age::DueForRefresh);
        assert_eq!(age_after(&session, expiry + micro), Age::Expired);
    }

    #[test]
    fn without_its_own_expiry_the_sites_counts() {
        let mut session = student();
        session.expiry_s = None;
        assert_eq!(age_after(&session, TimeDelta::seconds(60)), Age::Fresh);
        assert_eq!(age_after(&session, TimeDelta::seconds(61)), Age::Expired);
        session.source = Source::Table(NOW);
        assert_eq!(age_after(&session, TimeDelta::seconds(59)), Age::Fresh);
        assert_eq!(age_after(&session, TimeDelta::seconds(60)), Age::Expired);
    }

    #[test]
    fn a_hard_end_ends_it() {
        let mut session = student();
        session.end = Some(UtcMicros(1));
        assert_eq!(age_after(&session, TimeDelta::zero()), Age::Fresh);
        session.end = Some(NOW);
        assert_eq!(age_after(&session, TimeDelta::zero()), Age::Expired);
    }

    #[test]
    fn what_is_no_session_is_declined() {
        let bytes = fixtures::session_of_student();
        let swap = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let text: Vec<u8> = bytes.clone();
            let at = text
                .windows(from.len())
                .position(|w| w == from.as_bytes())
                .unwrap();
            let mut text = text;
            text[at..at + to.len()].copy_from_slice(to.as_bytes());
            text
        };
        let hostile = [
            Vec::new(),
            b"}.".to_vec(),
            b"N.".to_vec(),
            b"cposix\nsystem\n(Vtrue\ntR.".to_vec(),
            swap("last_updated", "lost_updated"),
            swap("2026-11-23 02", "2026-11-23T02"),
            swap("2026-11-23 02", "2026-13-23 02"),
            swap("170:00:00", "170000000"),
            swap("data", "dota"),
            swap("frappe", "prappe"),
        ];
        for bytes in hostile {
            let stop = Session::from_redis(bytes).map(|_| ()).unwrap_err();
            assert!(matches!(stop, Stop::Decline("session-pickle")), "{stop:?}");
        }
    }

    #[test]
    fn times_have_one_form() {
        assert!(parse_time("2026-11-23 02:42:28.235659").is_some());
        for other in [
            "2026-11-23 02:42:28",
            "2026-11-23 02:42:28.2356",
            "2026-11-23 02:42:28.2356590",
            " 2026-11-23 02:42:28.23565",
            "2026-11-23 02:42:60.235659",
            "",
        ] {
            assert_eq!(parse_time(other), None, "{other}");
        }
    }

    #[test]
    fn one_of_many_extends() {
        let session = student();
        assert!(session.claim_refresh());
        assert!(!session.claim_refresh());
    }
}
