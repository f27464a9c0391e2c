//! The `sid` cookie that goes out: Frappe sends it with every answer, so that the
//! browser's copy lives as long as the session.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::Secret;
use crate::types::UtcMicros;

/// What Python's `quote` leaves as it is.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlidingCookie {
    /// The session id.
    pub sid: Secret,
    /// Seconds that the browser keeps the cookie.
    pub max_age_s: i64,
}

impl SlidingCookie {
    pub(super) fn new(sid: &str, max_age_s: i64) -> Self {
        Self {
            sid: Secret::new(sid),
            max_age_s,
        }
    }

    /// The value of a `Set-Cookie` header, as Frappe writes it; `secure` if the client
    /// came over HTTPS.
    pub fn header_value(&self, secure: bool, now: UtcMicros) -> String {
        let expires = now.plus_seconds(self.max_age_s).0;
        let expires = DateTime::from_timestamp_micros(expires).unwrap_or_default();
        let sid = utf8_percent_encode(self.sid.expose(), QUOTED);
        let secure = if secure { "Secure; " } else { "" };
        let max_age = self.max_age_s;
        let expires = HttpDate(expires);
        format!(
            "sid={sid}; Expires={expires}; Max-Age={max_age}; {secure}HttpOnly; Path=/; \
             SameSite=Lax"
        )
    }
}

struct HttpDate(DateTime<chrono::Utc>);

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every answer has one, and chrono reads its format each time.
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let t = self.0.naive_utc();
        write!(
            f,
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            t.weekday(),
            t.day(),
            MONTHS[t.month0() as usize],
            t.year(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_captured_one() {
        let captured = crate::frappe::fixtures::set_cookie_of_a_session();
        let sid = "8addf2cd9b9e55e7fd0d954bdf409f49625480d154627b4495e5714f";
        // Mon, 23 Nov 2026 02:42:29 GMT, the Date of that answer.
        let now = UtcMicros(1_795_401_749_000_000);
        let cookie = SlidingCookie::new(sid, 612_000);
        assert_eq!(cookie.header_value(false, now), captured);
        let secure = captured.replace("HttpOnly", "Secure; HttpOnly");
        assert_eq!(cookie.header_value(true, now), secure);
    }

    #[test]
    fn an_odd_id_cannot_break_out_of_the_header() {
        let cookie = SlidingCookie::new("a b;\r\né", 60);
        let value = cookie.header_value(false, UtcMicros(0));
        assert!(value.starts_with("sid=a%20b%3B%0D%0A%C3%A9; "), "{value}");
        assert!(!format!("{cookie:?}").contains("a b"));
    }
}
