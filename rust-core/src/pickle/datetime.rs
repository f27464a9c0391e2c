//! The state of a naive `datetime.datetime`: ten bytes.

/// ISO text `YYYY-MM-DDTHH:MM:SS[.ffffff]` of the ten bytes, as Python's `isoformat`
/// writes it; `None` if they are no date.
///
/// The fold bit (bit 7 of the month) is dropped: the text is wall time, as it was before
/// it was pickled.
pub(super) fn iso_text(state: &[u8]) -> Option<String> {
    let [y1, y2, month, day, hour, minute, second, u1, u2, u3]: [u8; 10] = state.try_into().ok()?;
    let year = u16::from_be_bytes([y1, y2]);
    let micros = u32::from_be_bytes([0, u1, u2, u3]);
    let date =
        chrono::NaiveDate::from_ymd_opt(i32::from(year), u32::from(month & 0x7f), u32::from(day))?;
    if !(1..=9999).contains(&year) || second > 59 {
        return None;
    }
    let time = date.and_hms_micro_opt(
        u32::from(hour),
        u32::from(minute),
        u32::from(second),
        micros,
    )?;
    let format = if micros == 0 {
        "%Y-%m-%dT%H:%M:%S"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f"
    };
    Some(time.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::iso_text;

    #[test]
    fn bytes_of_a_real_job() {
        assert_eq!(
            iso_text(b"\x07\xea\x0b\x18\x02,\"\x03\xc6'").as_deref(),
            Some("2026-11-24T02:44:34.247335")
        );
        // 02:30:00 on the second pass of a fold
        assert_eq!(
            iso_text(b"\x07\xea\x8a\x19\x02\x1e\x00\x00\x00\x00").as_deref(),
            Some("2026-10-25T02:30:00")
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in [
            &b""[..],
            b"\x07\xea\x0b\x18\x02,\"\x03\xc6",
            b"\x07\xea\x0d\x18\x02,\"\x03\xc6'",
            b"\x07\xea\x02\x1e\x02,\"\x03\xc6'",
            b"\x00\x00\x0b\x18\x02,\"\x03\xc6'",
            b"\x07\xea\x0b\x18\x18,\"\x03\xc6'",
            b"\x07\xea\x0b\x18\x02,\"\xff\xff\xff",
            b"\xff\xff\x0b\x18\x02,\"\x03\xc6'",
        ] {
            assert_eq!(iso_text(bad), None, "{bad:?}");
        }
    }
}
