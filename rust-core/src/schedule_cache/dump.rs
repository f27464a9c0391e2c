//! A sorted set in the form that DUMP gives.
//!
//! That is Redis' own file format: a type, the value, two bytes of version, eight of
//! checksum. Type 5 is a sorted set with binary scores, as all versions since 4.0 write
//! one that is not small: a count, then each member as a string and its score as eight
//! bytes, little endian, the highest first. Strings and lengths are as `rdbSaveRawString`
//! and `rdbSaveLen` in Redis' `rdb.c` write them. The checksum is for files: what a
//! connection brings is whole.

/// A sorted set whose scores are binary doubles (`RDB_TYPE_ZSET_2`).
const SORTED_SET: u8 = 5;
/// Version and checksum.
const FOOTER: usize = 10;

/// Members and scores, the lowest first; `None` for a value of another form.
pub(super) fn members(dump: &[u8]) -> Option<Vec<(Vec<u8>, f64)>> {
    let value = dump.get(..dump.len().checked_sub(FOOTER)?)?;
    let (&SORTED_SET, rest) = value.split_first()? else {
        return None;
    };
    let mut rest = Reader(rest);
    let Length::Of(count) = rest.length()? else {
        return None;
    };
    // Each takes ten bytes at least.
    let mut members = Vec::with_capacity(count.min(dump.len() / 10));
    for _ in 0..count {
        let member = rest.string()?;
        members.push((member, f64::from_le_bytes(rest.array()?)));
    }
    members.reverse();
    rest.0.is_empty().then_some(members)
}

struct Reader<'a>(&'a [u8]);

/// What precedes a string, or is a count.
enum Length {
    Of(usize),
    /// An integer of so many bytes stands for its decimal text.
    Integer(usize),
    Compressed,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<Length> {
        let [first] = self.array()?;
        Some(match (first >> 6, first) {
            (0, _) => Length::Of(first.into()),
            (1, _) => {
                let [second] = self.array()?;
                Length::Of(usize::from(first & 0x3f) << 8 | usize::from(second))
            }
            (2, 0x80) => Length::Of(u32::from_be_bytes(self.array()?).try_into().ok()?),
            (2, 0x81) => Length::Of(u64::from_be_bytes(self.array()?).try_into().ok()?),
            (3, 0xc0) => Length::Integer(1),
            (3, 0xc1) => Length::Integer(2),
            (3, 0xc2) => Length::Integer(4),
            (3, 0xc3) => Length::Compressed,
            _ => return None,
        })
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        Some(match self.length()? {
            Length::Of(n) => self.take(n)?.to_vec(),
            Length::Integer(1) => i8::from_le_bytes(self.array()?).to_string().into(),
            Length::Integer(2) => i16::from_le_bytes(self.array()?).to_string().into(),
            Length::Integer(_) => i32::from_le_bytes(self.array()?).to_string().into(),
            Length::Compressed => {
                let (Length::Of(packed), Length::Of(plain)) = (self.length()?, self.length()?)
                else {
                    return None;
                };
                let text = unpacked(self.take(packed)?, plain)?;
                (text.len() == plain).then_some(text)?
            }
        })
    }
}

/// What LZF has packed (`lzf_decompress` in Redis' `lzf_d.c`), of at most `limit` bytes.
fn unpacked(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut from = Reader(packed);
    let mut out: Vec<u8> = Vec::with_capacity(limit.min(packed.len() * 8));
    while let Some([control]) = from.array() {
        let control = usize::from(control);
        if control < 32 {
            out.extend_from_slice(from.take(control + 1)?);
        } else {
            let mut length = control >> 5;
            if length == 7 {
                let [more] = from.array()?;
                length += usize::from(more);
            }
            let [low] = from.array()?;
            let back = ((control & 31) << 8 | usize::from(low)) + 1;
            // It may reach into what it writes itself.
            for _ in 0..length + 2 {
                out.push(*out.get(out.len().checked_sub(back)?)?);
            }
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(value: &[u8]) -> Vec<u8> {
        [value, &[10, 0, 1, 2, 3, 4, 5, 6, 7, 8]].concat()
    }

    #[test]
    fn a_captured_value_is_read() {
        // DUMP of Redis 7.0.15 with zset-max-listpack-entries 0: `-7` at 1.5, `ann` at 2,
        // 30 times `ab` at inf.
        let captured =
            b"\x05\x03\xc3\x0a\x3c\x02aba\xe0\x2e\x01\x01ab\x00\x00\x00\x00\x00\x00\xf0\x7f\
            \x03ann\x00\x00\x00\x00\x00\x00\x00\x40\xc0\xf9\x00\x00\x00\x00\x00\x00\xf8\x3f";
        let members = members(&dump(captured)).unwrap();
        assert_eq!(
            members,
            [
                (b"-7".to_vec(), 1.5),
                (b"ann".to_vec(), 2.0),
                ("ab".repeat(30).into_bytes(), f64::INFINITY),
            ]
        );
    }

    #[test]
    fn anything_else_is_refused_whatever_it_says() {
        for wrong in [
            &b""[..],
            b"\x05",
            b"\x03\x00",
            b"\x05\x01",
            b"\x05\x01\x03ann",
            b"\x05\x00more",
            b"\x05\x81\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x05\x01\xc3\x02\x05\x20\x00aaaaaaaa",
            b"\x05\x01\xc3\x02\x01\x01ab\x00\x00\x00\x00\x00\x00\xf0\x3f",
            b"\x05\x01\xc4ab",
        ] {
            assert_eq!(members(&dump(wrong)), None, "{wrong:?}");
            assert_eq!(members(wrong), None, "{wrong:?}");
        }
        let good = dump(b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf0\x3f");
        assert_eq!(members(&good), Some(vec![(b"a".to_vec(), 1.0)]));
        for end in 0..good.len() {
            assert_eq!(members(&good[..end]), None, "{end}");
        }
    }
}
