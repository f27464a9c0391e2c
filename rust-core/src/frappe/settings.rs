//! System Settings that decide how a request is judged.

use mysql_async::Row;

use super::rows;
use crate::Result;
use crate::config::FrappeVersion;
use crate::servers::mariadb::MariaDb;
use crate::site_time::SiteZone;

/// Site-wide settings, as far as the engine heeds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemSettings {
    /// The site's zone: Asia/Kolkata if none is set, UTC if the name is unknown, as in
    /// Frappe.
    pub zone: SiteZone,
    /// Whether errors may carry a traceback.
    pub allow_error_traceback: bool,
    /// Whether logging in takes a second factor.
    pub enable_two_factor_auth: bool,
    /// Whether two-factor authentication lifts everybody's IP restriction.
    pub bypass_ip_check_for_all: bool,
    /// Whether each request of a user ends that user's other sessions.
    pub deny_multiple_sessions: bool,
    session_expiry: Option<String>,
    default_session_expiry: Option<String>,
}

impl SystemSettings {
    /// Seconds that a session lives without use; also the `Max-Age` of its cookie.
    pub fn session_expiry_s(&self, frappe: FrappeVersion) -> i64 {
        let (setting, default) = match frappe {
            FrappeVersion::V14 => (&self.default_session_expiry, "06:00:00"),
            FrappeVersion::V15 => (&self.default_session_expiry, "240:00:00"),
            FrappeVersion::V16 => (&self.session_expiry, "240:00:00"),
        };
        let setting = setting.as_deref().filter(|s| !s.is_empty());
        let text = setting.unwrap_or(default);
        // The setting has no seconds, a session's own copy has.
        expiry_s(&format!("{text}:0")).unwrap_or(0)
    }

    #[cfg(any(test, feature = "guard"))]
    pub(super) fn for_test(enable_two_factor_auth: bool, bypass_ip_check_for_all: bool) -> Self {
        Self {
            zone: SiteZone::from_setting(Some("UTC")),
            allow_error_traceback: true,
            enable_two_factor_auth,
            bypass_ip_check_for_all,
            deny_multiple_sessions: false,
            session_expiry: None,
            default_session_expiry: None,
        }
    }

    pub(super) fn from_row(row: &mut Row) -> Result<Self> {
        let time_zone: Option<String> = rows::column(row, "time_zone")?;
        Ok(Self {
            zone: SiteZone::from_setting(time_zone.as_deref()),
            allow_error_traceback: check(row, "allow_error_traceback")?,
            enable_two_factor_auth: check(row, "enable_two_factor_auth")?,
            bypass_ip_check_for_all: check(row, "bypass_ip_check_for_all")?,
            deny_multiple_sessions: check(row, "deny_multiple_sessions")?,
            session_expiry: rows::column(row, "session_expiry")?,
            default_session_expiry: rows::column(row, "default_session_expiry")?,
        })
    }
}

/// Reads the settings, for a caller without a login: one statement.
///
/// # Errors
/// `Unavailable` if the database is away.
pub async fn read_settings(db: &MariaDb) -> Result<SystemSettings> {
    let mut row = rows::one(db, include_str!("sql/settings.sql"), ()).await?;
    SystemSettings::from_row(&mut row)
}

fn check(row: &mut Row, column: &str) -> Result<bool> {
    let value: Option<String> = rows::column(row, column)?;
    Ok(value.is_some_and(|v| cint(&v) != 0))
}

/// Seconds of `HH:MM:SS`, where hours may exceed 24; what is no number counts 0, as in
/// Frappe. `None` if a part is missing, on which Frappe fails.
pub(super) fn expiry_s(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(cint);
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    hours
        .checked_mul(3600)?
        .checked_add(minutes.checked_mul(60)?)?
        .checked_add(seconds)
}

fn cint(text: &str) -> i64 {
    let text = text.trim();
    text.parse()
        .or_else(|_| text.parse::<f64>().map(|f| f as i64))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(single: Option<&str>, default: Option<&str>) -> SystemSettings {
        SystemSettings {
            session_expiry: single.map(str::to_owned),
            default_session_expiry: default.map(str::to_owned),
            ..SystemSettings::for_test(false, false)
        }
    }

    #[test]
    fn expiry_comes_from_where_each_version_looks() {
        use FrappeVersion::{V14, V15, V16};
        let both = settings(Some("01:00"), Some("170:00"));
        // The Max-Age that was captured.
        assert_eq!(both.session_expiry_s(V15), 612_000);
        assert_eq!(both.session_expiry_s(V14), 612_000);
        assert_eq!(both.session_expiry_s(V16), 3_600);
        for unset in [settings(None, None), settings(Some(""), Some(""))] {
            assert_eq!(unset.session_expiry_s(V14), 6 * 3_600);
            assert_eq!(unset.session_expiry_s(V15), 240 * 3_600);
            assert_eq!(unset.session_expiry_s(V16), 240 * 3_600);
        }
        let with_seconds = settings(None, Some("00:01:30"));
        assert_eq!(with_seconds.session_expiry_s(V15), 90);
    }

    #[test]
    fn expiry_texts() {
        assert_eq!(expiry_s("170:00:00"), Some(612_000));
        assert_eq!(expiry_s("00:00:05"), Some(5));
        assert_eq!(expiry_s("1.5:x:07"), Some(3_607));
        assert_eq!(expiry_s("01:00"), None);
        assert_eq!(expiry_s(""), None);
        assert_eq!(expiry_s("9999999999999999:0:0"), None);
    }
}
