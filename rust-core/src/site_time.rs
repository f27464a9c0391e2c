//! Naive wall time in the site's zone ↔ UTC. The only place that converts.
//!
//! Frappe stores what a clock on the site's wall shows, without a zone. When clocks are
//! put back an hour of wall time comes twice (a *fold*), when they are put forward an hour
//! never comes (a *gap*). The rules:
//!
//! - A stored time in a fold is read as its first occurrence: a question that others made
//!   due then is due no later than they meant. (Python's `zoneinfo` reads it so too.)
//! - A stored time in a gap is read as the moment of the change, the first time that
//!   exists after it. So a later wall time is never an earlier moment.
//! - A due time that the engine computes is settled first ([`SiteZone::settle`]): out of
//!   a fold, forward to the first second that is not ambiguous. Then writing it to the
//!   table and reading it back gives the same moment, and table and cache can be compared.
//!
//! Order between reviews never depends on any of this ([`crate::types::Version`]).
//!
//! Everything here is total. Moments outside the years of a DATETIME, which no server
//! holds, count as its ends: year 1000 and year 9999, less a day for the offset.

use chrono::{
    DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike,
};
use chrono_tz::Tz;

use crate::types::UtcMicros;

const MICROS: i64 = 1_000_000;

/// 1000-01-02 00:00:00 UTC: a day after the first DATETIME, so that wall time in every
/// zone is within year 1000. (The driver panics on what is earlier.)
const EARLIEST: i64 = -30_610_137_600 * MICROS;

/// 9999-12-30 23:59:59.999999 UTC: a day before the last DATETIME.
const LATEST: i64 = 253_402_214_400 * MICROS - 1;

/// The zone that Frappe assumes when System Settings name none.
const FRAPPE_DEFAULT: Tz = Tz::Asia__Kolkata;

/// The site's time zone (System Settings, `time_zone`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteZone(Tz);

impl SiteZone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The earliest moment that a DATETIME shows in every zone.
    pub const EARLIEST: UtcMicros = UtcMicros(EARLIEST);

    /// By IANA name, in its exact spelling.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// From System Settings, as Frappe takes it: absent or empty means Asia/Kolkata, an
    /// unknown name UTC.
    pub fn from_setting(setting: Option<&str>) -> Self {
        match setting {
            None | Some("") => Self(FRAPPE_DEFAULT),
            Some(name) => Self::named(name).unwrap_or(Self(Tz::UTC)),
        }
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The wall time that a clock in this zone shows.
    pub fn to_wall(self, t: UtcMicros) -> NaiveDateTime {
        let t = t.0.clamp(EARLIEST, LATEST);
        // The default is never used: chrono holds many more years than these.
        let utc = DateTime::from_timestamp_micros(t).unwrap_or_default();
        utc.with_timezone(&self.0).naive_local()
    }

    /// The last stored wall time that means `now` or earlier ([`SiteZone::to_utc`]): what a
    /// query compares stored times with. While a fold is gone through a second time, all
    /// of it is past.
    pub fn latest_wall(self, now: UtcMicros) -> NaiveDateTime {
        let wall = self.to_wall(now);
        match self.occurrences(wall) {
            MappedLocalTime::Ambiguous(first, second) if first < second && now == second => {
                self.to_wall(self.settle(now)) - TimeDelta::microseconds(1)
            }
            _ => wall,
        }
    }

    /// The moment that a stored wall time means: in a fold the first of the two, in a gap
    /// the end of the gap. Finer fractions than microseconds are cut off.
    pub fn to_utc(self, wall: NaiveDateTime) -> UtcMicros {
        let first = NaiveDate::from_ymd_opt(1000, 1, 1).unwrap_or_default();
        let last = NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap_or_default();
        let wall = wall.clamp(
            first.into(),
            NaiveDateTime::from(last) - TimeDelta::microseconds(1),
        );
        self.occurrences(wall).earliest().unwrap_or_else(|| {
            let start = wall.with_nanosecond(0).unwrap_or(wall);
            let after = |seconds| self.occurrences(start + TimeDelta::seconds(seconds));
            let end = first_second(|seconds| after(seconds).earliest().is_some());
            after(end)
                .earliest()
                // No gap is longer than `first_second` looks; read as UTC if one were.
                .unwrap_or(UtcMicros(start.and_utc().timestamp_micros()))
        })
    }

    /// Moves a due time out of a fold, forward to the first second whose wall time is not
    /// ambiguous; any other stays what it is.
    ///
    /// The result `s` is never before `t`, and `to_utc(to_wall(s)) == s` for all years of
    /// a DATETIME. Usually it is within twice the length of the fold, so two hours.
    #[must_use]
    pub fn settle(self, t: UtcMicros) -> UtcMicros {
        if self.is_settled(t) {
            return t;
        }
        let start = t.floor_seconds();
        let end = first_second(|seconds| self.is_settled(start.plus_seconds(seconds)));
        start.plus_seconds(end)
    }

    /// Wall time for answers: `YYYY-MM-DDTHH:MM:SS`, and `.ffffff` unless that is zero.
    pub fn iso(self, t: UtcMicros) -> String {
        iso_wall(self.to_wall(t))
    }

    /// Wall time as Frappe's `now()` prints it: `YYYY-MM-DD HH:MM:SS.ffffff`.
    pub fn frappe(self, t: UtcMicros) -> String {
        self.to_wall(t).format("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }

    /// The moment that a written wall time means; `None` if it is none
    /// ([`parse_wall`], [`SiteZone::to_utc`]).
    pub fn parse(self, text: &str) -> Option<UtcMicros> {
        parse_wall(text).map(|wall| self.to_utc(wall))
    }

    /// The moments at which a clock in this zone shows `wall`: none, one or two.
    fn occurrences(self, wall: NaiveDateTime) -> MappedLocalTime<UtcMicros> {
        self.0
            .from_local_datetime(&wall)
            .map(|t| UtcMicros(t.timestamp_micros()))
    }

    /// Whether wall time says which moment this is. Moments that [`SiteZone::to_wall`]
    /// cannot show are left alone.
    fn is_settled(self, t: UtcMicros) -> bool {
        !(EARLIEST..=LATEST).contains(&t.0)
            || matches!(
                self.occurrences(self.to_wall(t)),
                MappedLocalTime::Single(_)
            )
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, and `.ffffff` unless that is zero: Python's `isoformat()`.
pub fn iso_wall(wall: NaiveDateTime) -> String {
    // Every question of every answer has one, and chrono reads its format each time.
    let mut text = String::with_capacity(26);
    let mut put = |value: u32, digits: u32, after: &str| {
        for place in (0..digits).rev() {
            let digit = value / 10u32.pow(place) % 10;
            text.push(char::from(b'0' + digit as u8));
        }
        text.push_str(after);
    };
    put(wall.year().unsigned_abs(), 4, "-");
    put(wall.month(), 2, "-");
    put(wall.day(), 2, "T");
    put(wall.hour(), 2, ":");
    put(wall.minute(), 2, ":");
    match wall.nanosecond() / 1000 {
        0 => put(wall.second(), 2, ""),
        micros => {
            put(wall.second(), 2, ".");
            put(micros, 6, "");
        }
    }
    text
}

/// Reads `YYYY-MM-DD HH:MM:SS` with an optional fraction of one to six digits; `T` may
/// stand for the blank. This covers [`SiteZone::iso`], [`SiteZone::frappe`], and Python's
/// `str()` and `isoformat()` of a naive datetime. `None` for anything else, also for a
/// time with a zone: reading it as wall time would be wrong by the offset.
pub fn parse_wall(text: &str) -> Option<NaiveDateTime> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, digits)) => (whole, micros(digits)?),
        None => (text, 0),
    };
    let bytes: &[u8; 19] = whole.as_bytes().try_into().ok()?;
    if (bytes[4], bytes[7], bytes[13], bytes[16]) != (b'-', b'-', b':', b':')
        || !matches!(bytes[10], b' ' | b'T')
    {
        return None;
    }
    let at = |from: usize, to: usize| digits(&bytes[from..to]);
    NaiveDate::from_ymd_opt(at(0, 4)?.cast_signed(), at(5, 7)?, at(8, 10)?)?.and_hms_micro_opt(
        at(11, 13)?,
        at(14, 16)?,
        at(17, 19)?,
        fraction,
    )
}

/// The number that these bytes spell, if all are digits.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |n, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Microseconds of a decimal fraction of one to six digits.
fn micros(fraction: &str) -> Option<u32> {
    let missing = 6u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    if missing == 6 {
        return None;
    }
    Some(digits(fraction.as_bytes())? * 10u32.pow(missing))
}

/// The first whole second after a start at which a fold or gap is over, given how to tell.
///
/// Steps ahead in quarters of an hour, the usual unit of clock changes, then closes in on
/// the second. Four days are beyond any change there was (a day was repeated or left out
/// where the date line moved).
fn first_second(over: impl Fn(i64) -> bool) -> i64 {
    const STEP: i64 = 900;
    const LIMIT: i64 = 4 * 86_400;
    let after = (STEP..LIMIT)
        .step_by(STEP as usize)
        .find(|&seconds| over(seconds))
        .unwrap_or(LIMIT);
    let (mut inside, mut outside) = (after - STEP, after);
    while outside - inside > 1 {
        let middle = i64::midpoint(inside, outside);
        if over(middle) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> SiteZone {
        SiteZone::named(name).unwrap()
    }

    /// A moment written as UTC.
    fn utc(text: &str) -> UtcMicros {
        zone("UTC").parse(text).unwrap()
    }

    fn wall(text: &str) -> NaiveDateTime {
        parse_wall(text).unwrap()
    }

    #[test]
    fn the_setting_is_taken_as_frappe_takes_it() {
        for (setting, name) in [
            (None, "Asia/Kolkata"),
            (Some(""), "Asia/Kolkata"),
            (Some("Europe/Berlin"), "Europe/Berlin"),
            (Some("US/Pacific"), "US/Pacific"),
            (Some("Middle-earth/Shire"), "UTC"),
        ] {
            assert_eq!(SiteZone::from_setting(setting).name(), name);
        }
        assert_eq!(SiteZone::named("Middle-earth/Shire"), None);
    }

    #[test]
    fn a_stored_time_has_one_meaning() {
        for (name, stored, meaning) in [
            // Ordinary, summer and winter.
            ("Asia/Kolkata", "2026-01-19 15:30:00", "2026-01-19 10:00:00"),
            (
                "Europe/Berlin",
                "2026-07-01 12:00:00.000001",
                "2026-07-01 10:00:00.000001",
            ),
            // Fold, 2:00 to 3:00 twice: the first.
            (
                "Europe/Berlin",
                "2026-10-25 01:59:59.999999",
                "2026-10-24 23:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 02:00:00",
                "2026-10-25 00:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 02:59:59.999999",
                "2026-10-25 00:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 03:00:00",
                "2026-10-25 02:00:00",
            ),
            // Gap, 2:00 to 3:00 never: its end.
            (
                "Europe/Berlin",
                "2026-03-29 01:59:59.999999",
                "2026-03-29 00:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-03-29 02:00:00",
                "2026-03-29 01:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-03-29 02:59:59.999999",
                "2026-03-29 01:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-03-29 03:00:00",
                "2026-03-29 01:00:00",
            ),
            // Half an hour: fold 1:30 to 2:00, gap 2:00 to 2:30.
            (
                "Australia/Lord_Howe",
                "2026-04-05 01:45:00",
                "2026-04-04 14:45:00",
            ),
            (
                "Australia/Lord_Howe",
                "2026-10-04 02:15:00",
                "2026-10-03 15:30:00",
            ),
            // A quarter: Kathmandu went from 5:30 to 5:45 at the start of 1986.
            (
                "Asia/Kathmandu",
                "1986-01-01 00:07:00",
                "1985-12-31 18:30:00",
            ),
            // Seconds: Monrovia gave up its offset of 0:44:30 in 1972.
            (
                "Africa/Monrovia",
                "1972-01-07 00:20:00",
                "1972-01-07 00:44:30",
            ),
            // A day: Samoa left out 30 December 2011.
            ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 10:00:00"),
        ] {
            assert_eq!(
                zone(name).to_utc(wall(stored)),
                utc(meaning),
                "{stored} in {name}"
            );
        }
    }

    #[test]
    fn a_due_time_leaves_the_fold_forward() {
        for (name, due, settled) in [
            (
                "Europe/Berlin",
                "2026-10-24 23:59:59",
                "2026-10-24 23:59:59",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 00:00:00",
                "2026-10-25 02:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 00:30:00.5",
                "2026-10-25 02:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 01:59:59.999999",
                "2026-10-25 02:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 02:00:00",
                "2026-10-25 02:00:00",
            ),
            // The moment of a change forward is the first of its kind: nothing to settle.
            (
                "Europe/Berlin",
                "2026-03-29 01:00:00",
                "2026-03-29 01:00:00",
            ),
            (
                "Australia/Lord_Howe",
                "2026-04-04 14:45:00",
                "2026-04-04 15:30:00",
            ),
            (
                "America/New_York",
                "2026-11-01 06:10:00",
                "2026-11-01 07:00:00",
            ),
            // Dublin calls its winter time the exception; its clocks move like London's.
            (
                "Europe/Dublin",
                "2026-10-25 00:10:00",
                "2026-10-25 02:00:00",
            ),
            (
                "Asia/Kolkata",
                "2026-10-25 00:30:00.5",
                "2026-10-25 00:30:00.5",
            ),
        ] {
            assert_eq!(zone(name).settle(utc(due)), utc(settled), "{due} in {name}");
        }
    }

    #[test]
    fn a_query_finds_what_is_due_in_a_fold() {
        for (name, now, latest) in [
            (
                "Europe/Berlin",
                "2026-10-25 00:30:00",
                "2026-10-25 02:30:00",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 00:59:59.999999",
                "2026-10-25 02:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 01:00:00",
                "2026-10-25 02:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 01:30:00.5",
                "2026-10-25 02:59:59.999999",
            ),
            (
                "Europe/Berlin",
                "2026-10-25 02:00:00",
                "2026-10-25 03:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-03-29 01:00:00",
                "2026-03-29 03:00:00",
            ),
            ("Asia/Kolkata", "2026-10-25 01:30:00", "2026-10-25 07:00:00"),
        ] {
            let (zone, now) = (zone(name), utc(now));
            assert_eq!(zone.latest_wall(now), wall(latest), "{now:?} in {name}");
        }
    }

    #[test]
    fn times_are_written_as_frappe_and_clients_expect() {
        let (berlin, t) = (zone("Europe/Berlin"), utc("2026-01-19 09:00:00"));
        assert_eq!(berlin.iso(t), "2026-01-19T10:00:00");
        assert_eq!(berlin.frappe(t), "2026-01-19 10:00:00.000000");
        let t = UtcMicros(t.0 + 1_200);
        assert_eq!(berlin.iso(t), "2026-01-19T10:00:00.001200");
        assert_eq!(berlin.frappe(t), "2026-01-19 10:00:00.001200");
        assert_eq!(
            zone("UTC").frappe(UtcMicros(EARLIEST)),
            "1000-01-02 00:00:00.000000"
        );
        assert_eq!(
            zone("UTC").iso(UtcMicros(LATEST)),
            "9999-12-30T23:59:59.999999"
        );
    }

    #[test]
    fn only_naive_times_are_read() {
        assert_eq!(
            wall("2026-01-19T10:00:00.5"),
            wall("2026-01-19 10:00:00.500000")
        );
        for wrong in [
            "",
            "2026-01-19",
            "2026-01-19 10:00",
            "2026-01-19 10:00:00.",
            "2026-01-19 10:00:00.1234567",
            "2026-01-19 10:00:00.+1",
            "2026-01-19 10:00:00Z",
            "2026-01-19T10:00:00+00:00",
            "2026-01-19T10:00:00.000001+00:00",
            "2026-01-19t10:00:00",
            " 2026-01-19 10:00:00",
            "2026-1-19 10:00:00 ",
            "+026-01-19 10:00:00",
            "2026-02-29 10:00:00",
            "2026-01-19 24:00:00",
            "2026-01-19 10:00:60",
            "0000-00-00 00:00:00",
            "２026-01-19 10:00:00",
        ] {
            assert_eq!(parse_wall(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn extreme_times_are_the_ends() {
        for &tz in &chrono_tz::TZ_VARIANTS {
            let zone = SiteZone(tz);
            for (extreme, end) in [
                (i64::MIN, EARLIEST),
                (EARLIEST - 1, EARLIEST),
                (LATEST + 1, LATEST),
                (i64::MAX, LATEST),
            ] {
                let (extreme, end) = (UtcMicros(extreme), UtcMicros(end));
                assert_eq!(zone.to_wall(extreme), zone.to_wall(end), "{tz}");
                assert_eq!(zone.settle(extreme), extreme, "{tz}");
            }
            for (extreme, end) in [
                (NaiveDateTime::MIN, "1000-01-01 00:00:00"),
                (NaiveDateTime::MAX, "9999-12-31 23:59:59.999999"),
            ] {
                assert_eq!(zone.to_utc(extreme), zone.to_utc(wall(end)), "{tz}");
            }
        }
    }

    /// Every change of every zone, from all sides: the property tests below would seldom
    /// meet one.
    #[test]
    fn every_change_since_1970_settles_and_reads_back() {
        const WEEK: i64 = 7 * 86_400;
        let end = utc("2030-01-01 00:00:00").0 / MICROS;
        let mut changes = 0;
        for &tz in &chrono_tz::TZ_VARIANTS {
            let zone = SiteZone(tz);
            let offset = |t: i64| {
                let t = UtcMicros(t * MICROS);
                (zone.to_wall(t).and_utc().timestamp_micros() - t.0) / MICROS
            };
            for week in (0..end).step_by(WEEK as usize) {
                let (mut before, mut change) = (week, week + WEEK);
                let shift = offset(change) - offset(before);
                if shift == 0 {
                    continue;
                }
                while change - before > 1 {
                    let middle = i64::midpoint(before, change);
                    if offset(middle) == offset(week) {
                        before = middle;
                    } else {
                        change = middle;
                    }
                }
                changes += 1;
                let (around, longest) = (shift.abs() + 1_800, 2 * (-shift).max(0) * MICROS);
                for t in (change - around..=change + around).step_by(900) {
                    for t in [-1, 0, 1].map(|micro| UtcMicros(t * MICROS + micro)) {
                        check(zone, t, longest);
                    }
                }
            }
        }
        assert!(changes > 10_000, "{changes}");
    }

    /// A settled time is not earlier, at most `longest` microseconds later, whole if it
    /// moved, and survives the table.
    fn check(zone: SiteZone, t: UtcMicros, longest: i64) {
        let settled = zone.settle(t);
        let context = || format!("{} in {}", zone.iso(t), zone.name());
        assert!(settled >= t, "{}", context());
        assert!(settled.0 - t.0 <= longest + 1, "{}", context());
        assert!(settled == t || settled.0 % MICROS == 0, "{}", context());
        assert_eq!(zone.to_utc(zone.to_wall(settled)), settled, "{}", context());
        assert_eq!(zone.settle(settled), settled, "{}", context());
        // The last wall time that is past, and the first that is not.
        let latest = zone.latest_wall(t);
        assert!(zone.to_utc(latest) <= t, "{}", context());
        let next = zone.to_utc(latest + TimeDelta::microseconds(1));
        assert!(next > t || next.0 == LATEST, "{}", context());
    }

    fn any_zone() -> impl Strategy<Value = SiteZone> {
        prop::sample::select(&chrono_tz::TZ_VARIANTS[..]).prop_map(SiteZone)
    }

    proptest! {
        #[test]
        fn any_time_settles_and_reads_back(zone in any_zone(), t in EARLIEST..=LATEST) {
            // Two days, twice: the date line moved.
            check(zone, UtcMicros(t), 4 * 86_400 * MICROS);
        }

        #[test]
        fn a_later_wall_time_is_never_an_earlier_moment(
            zone in any_zone(),
            t in -3_000_000_000..4_102_444_800i64,
            later in 0..200_000i64,
        ) {
            let wall = DateTime::from_timestamp(t, 0).unwrap().naive_utc();
            prop_assert!(zone.to_utc(wall) <= zone.to_utc(wall + TimeDelta::seconds(later)));
        }

        #[test]
        fn what_is_written_is_read(zone in any_zone(), t in EARLIEST..=LATEST) {
            let t = zone.settle(UtcMicros(t));
            prop_assert_eq!(zone.parse(&zone.iso(t)), Some(t));
            prop_assert_eq!(zone.parse(&zone.frappe(t)), Some(t));
        }

        #[test]
        fn nothing_panics(zone in any_zone(), t: i64, text in "\\PC{0,30}") {
            let t = UtcMicros(t);
            prop_assert!(zone.settle(t) >= t);
            zone.to_utc(zone.to_wall(t));
            zone.parse(&text);
        }
    }
}
