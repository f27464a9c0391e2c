//! Naive wall time in the site's zone ↔ UTC. The only place that converts.

use chrono::NaiveDateTime;

use crate::types::UtcMicros;

/// The site's time zone (System Settings, `time_zone`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteZone(chrono_tz::Tz);

impl SiteZone {
    /// By IANA name.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// The wall time that a clock in this zone shows.
    pub fn to_wall(self, t: UtcMicros) -> NaiveDateTime {
        let utc = chrono::DateTime::from_timestamp_micros(t.0).unwrap_or_default();
        utc.with_timezone(&self.0).naive_local()
    }
}
