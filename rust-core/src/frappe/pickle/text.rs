//! Values that a pickle spells out in bytes of their own.

use chrono::{NaiveDate, NaiveDateTime};

use super::{MISUSE, NOT_UTF8, Result, TRUNCATED};
use crate::frappe::value::Unreadable;

/// What `datetime.datetime` pickles itself as: year (2 bytes, big-endian), month, day,
/// hour, minute, second, microseconds (3 bytes). Protocol 4 and later set the month's
/// high bit in the repeated hour of a clock change.
pub(super) fn date_time(bytes: &[u8]) -> Result<NaiveDateTime> {
    let &[y1, y0, month, day, hour, minute, second, u2, u1, u0] = bytes else {
        return Err(MISUSE);
    };
    NaiveDate::from_ymd_opt(
        i32::from(u16::from_be_bytes([y1, y0])),
        u32::from(month & 0x7f),
        day.into(),
    )
    .and_then(|date| {
        date.and_hms_micro_opt(
            hour.into(),
            minute.into(),
            second.into(),
            u32::from_be_bytes([0, u2, u1, u0]),
        )
    })
    .ok_or(Unreadable("no such time"))
}

/// Protocol 0 strings: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode(bytes: &[u8]) -> Result<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(first));
                rest = tail;
                continue;
            }
        };
        let code = tail.get(1..=digits).ok_or(TRUNCATED)?;
        let code = std::str::from_utf8(code).map_err(|_| NOT_UTF8)?;
        let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        text.push(code.ok_or(NOT_UTF8)?);
        rest = &tail[digits + 1..];
    }
    Ok(text)
}
